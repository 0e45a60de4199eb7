//! Black-box tests against software that others wrote.
