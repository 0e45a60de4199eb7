//! DHCP for nodes that boot from the network.
