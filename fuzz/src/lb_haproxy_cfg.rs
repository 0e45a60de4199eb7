//! `haproxy.cfg`: what is taken over, the site file takes; findings are bounded and name lines that are there.

use std::net::IpAddr;
use std::path::Path;

use faros_common::site;
use faros_lb::import::{FINDINGS_MAX, FRONTENDS_MAX, Options, import};

use crate::Target;

const HEAD: &str = "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n\
                    [lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\nvip = \"192.168.8.2\"\n";

/// Feeds [`import`].
pub const TARGET: Target =
    Target { name: "lb_haproxy_cfg", run, seeds, memory: (4 * 1024 * 1024, 16 * 1024) };

fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let address = |host: &str| (host.len() == 3).then(|| IpAddr::from([192, 168, 8, 60]));
    for derived in [&[][..], &[6443, 22623, 80, 443]] {
        let import = import(&text, &Options { address: &address, derived });
        assert!(import.findings.len() <= FINDINGS_MAX + 1 && import.frontends <= FRONTENDS_MAX);
        let lines = text.lines().count();
        for found in &import.findings {
            assert!(found.line.is_none_or(|line| (1..=lines).contains(&line)), "{found:?}");
            assert!(!found.what.is_empty() && !found.advice.is_empty());
        }
        let file = format!("{HEAD}{}", import.toml);
        match site::parse(&file, Path::new("site.toml")) {
            Ok(loaded) => assert_eq!(loaded.site.lb.frontends.len(), import.frontends, "{file}"),
            Err(report) => {
                // What collides with something else of the site is for people to disentangle.
                let tangled = |message: &str| {
                    ["is taken by", "of this bastion", "front end itself", "larger than", "left out"]
                        .iter()
                        .any(|known| message.contains(known))
                };
                assert!(report.errors().all(|found| tangled(&found.message)), "{report}\n{file}");
            }
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "global\n maxconn 4000\ndefaults x\n mode http\n timeout client 1m\n timeout server 1m\n timeout check 10s\n\
         listen api from x\n bind *:6443\n mode tcp\n option httpchk GET /readyz HTTP/1.0\n balance roundrobin\n \
         server m0 m0.x:6443 weight 1 verify none check check-ssl inter 10s fall 2 rise 3 backup\n \
         server cp1 cp1:6443 check\n",
        "frontend f\n bind 192.168.8.2:5000-5002,[fd08::2]:80 accept-proxy\n default_backend b\nbackend b\n \
         balance random(2)\n default-server inter 1s fastinter 500 slowstart 1m on-marked-down shutdown-sessions \
         send-proxy-v2 ca-file /x check-sni a.b port 1\n server a 1.2.3.4:5 check-ssl\n \
         option httpchk\n http-check send meth GET uri /x hdr Host \"a.b\"\n http-check expect status 200-299,404\n",
        "listen l 1.2.3.4:80\n acl a b\n use_backend x if a\n server 's t' \"1.2.3.5:80\" disabled # c\n bind \"$X\"\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
