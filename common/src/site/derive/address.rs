//! Who does which service, and under which address or URL clients find it.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::site::Site;

impl Site {
    /// This bastion's LAN address.
    pub fn bastion(&self) -> IpAddr {
        IpAddr::V4(self.lan.address.addr())
    }

    /// The site's own networks: the LAN's prefixes, host bits cleared. Exempt from response limiting.
    pub fn site_prefixes(&self) -> Vec<IpNet> {
        let v4 = IpNet::V4(self.lan.prefix());
        std::iter::once(v4).chain(self.lan.address6.map(|net| IpNet::V6(net.trunc()))).collect()
    }

    /// Where `api`, `api-int` and `*.apps` point: the VIP, or whoever balances in this bastion's place.
    pub fn cluster_address(&self) -> IpAddr {
        match self.lb.external {
            Some(external) if !self.lb.enable => external,
            _ => IpAddr::V4(self.lan.vip),
        }
    }

    /// The LAN's router (DHCP option 3); none where nobody routes.
    pub fn router(&self) -> Option<IpAddr> {
        self.who_serves(self.gateway.enable, self.gateway.external, &[])
    }

    /// The LAN's name server (DHCP option 6); none where there is none.
    pub fn dns_server(&self) -> Option<IpAddr> {
        self.who_serves(self.dns.enable, self.dns.external, &self.dns.listen)
    }

    /// The LAN's time server (DHCP option 42); none where there is none.
    pub fn ntp_server(&self) -> Option<IpAddr> {
        self.who_serves(self.ntp.enable, self.ntp.external, &self.ntp.listen)
    }

    /// The LAN's boot server by TFTP (DHCP siaddr and option 66); none where there is none.
    pub fn tftp_server(&self) -> Option<IpAddr> {
        self.who_serves(self.tftp.enable, self.tftp.external, &self.tftp.listen)
    }

    /// The boot server's URL without a final slash: `http://192.168.8.1:8080`. With `enable = false` it is the
    /// external one's.
    pub fn base_url(&self) -> String {
        self.url(self.http.enable, self.http.external, &self.http.listen, self.http.port)
    }

    /// The Tang server's URL without a final slash: `http://192.168.8.1:7500`.
    pub fn tang_url(&self) -> String {
        self.url(self.tang.enable, self.tang.external, &self.tang.listen, self.tang.port)
    }

    fn url(&self, enable: bool, external: Option<IpAddr>, listen: &[SocketAddr], port: u16) -> String {
        let address = match external {
            Some(external) if !enable => SocketAddr::new(external, port),
            _ => self.reachable(listen).unwrap_or(SocketAddr::new(self.bastion(), port)),
        };
        if address.port() == 80 {
            match address.ip() {
                IpAddr::V4(v4) => format!("http://{v4}"),
                IpAddr::V6(v6) => format!("http://[{v6}]"),
            }
        } else {
            format!("http://{address}")
        }
    }

    fn who_serves(&self, enable: bool, external: Option<IpAddr>, listen: &[SocketAddr]) -> Option<IpAddr> {
        if enable {
            Some(self.reachable(listen).map_or(self.bastion(), |socket| socket.ip()))
        } else {
            external
        }
    }

    /// The address among `listen` that nodes reach best: one on the LAN, else the first that is not the bastion's
    /// own business; the unspecified address stands for the bastion's.
    fn reachable(&self, listen: &[SocketAddr]) -> Option<SocketAddr> {
        let on_lan = listen.iter().find(|socket| match socket.ip() {
            IpAddr::V4(v4) => self.lan.prefix().contains(&v4),
            IpAddr::V6(_) => false,
        });
        let found = on_lan.or_else(|| listen.iter().find(|socket| !socket.ip().is_loopback()))?;
        let ip = if found.ip().is_unspecified() { self.bastion() } else { found.ip() };
        Some(SocketAddr::new(ip, found.port()))
    }
}
