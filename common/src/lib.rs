//! Being a service: site file, start and stop, journal, events, admin socket, sandbox.
