//! Golden scripts, and what must hold for any arguments.

use proptest::prelude::*;

use super::*;

const AGAIN: &str = "http://192.168.8.1:8080/boot/ipxe?mac=52-54-00-00-08-11";
const AGAIN_GRUB: &str = "http://192.168.8.1:8080/boot/grub?mac=52-54-00-00-08-11";

fn install(args: &str) -> Script {
    Script::Install(Install {
        node: "cp1".to_owned(),
        profile: "rhcos".to_owned(),
        http: "http://192.168.8.1:8080".to_owned(),
        tftp: Some("192.168.8.1".parse().unwrap()),
        kernel: "rhcos/kernel".to_owned(),
        initrds: vec!["rhcos/initramfs.img".to_owned(), "rhcos/extra 1.img".to_owned()],
        args: args.to_owned(),
    })
}

#[test]
fn an_installation_for_ipxe() {
    let expected = "\
#!ipxe

echo
echo faros: cp1 is armed: installing it with profile rhcos
imgfree
kernel http://192.168.8.1:8080/rhcos/kernel initrd=initrd0 initrd=initrd1 \
ds=nocloud;s=http://192.168.8.1/ a=\"b\" || goto again
initrd --name initrd0 http://192.168.8.1:8080/rhcos/initramfs.img || goto again
initrd --name initrd1 http://192.168.8.1:8080/rhcos/extra%201.img || goto again
echo faros: all files are here, starting the kernel
boot || goto again

:again
echo faros: that did not work, trying again in 5 s
sleep 5
chain --replace --autofree http://192.168.8.1:8080/boot/ipxe?mac=52-54-00-00-08-11 || goto again
";
    assert_eq!(render(Loader::Ipxe, &install("ds=nocloud;s=http://192.168.8.1/  a=\"b\""), AGAIN), expected);
}

#[test]
fn an_installation_for_grub() {
    let expected = "\
set timeout=0
echo 'faros: cp1 is armed: installing it with profile rhcos'
if linux '(http,192.168.8.1:8080)/rhcos/kernel' 'ds=nocloud;s=http://192.168.8.1/' 'it'\\''s'; then
  if initrd '(http,192.168.8.1:8080)/rhcos/initramfs.img' '(http,192.168.8.1:8080)/rhcos/extra 1.img'; then boot; fi
elif linux '(tftp,192.168.8.1)/rhcos/kernel' 'ds=nocloud;s=http://192.168.8.1/' 'it'\\''s'; then
  if initrd '(tftp,192.168.8.1)/rhcos/initramfs.img' '(tftp,192.168.8.1)/rhcos/extra 1.img'; then boot; fi
fi
echo 'faros: that did not work, trying again in 5 s'
sleep 5
configfile '(http,192.168.8.1:8080)/boot/grub?mac=52-54-00-00-08-11'
reboot
";
    assert_eq!(render(Loader::Grub, &install("ds=nocloud;s=http://192.168.8.1/ it's"), AGAIN_GRUB), expected);
}

#[test]
fn the_local_disk_for_both_firmwares() {
    let script = Script::Disk { who: "cp1".to_owned(), why: "it is installed".to_owned() };
    let expected = "\
#!ipxe

echo
echo faros: cp1 starts from its disk: it is installed
iseq ${platform} efi && goto firmware ||
sanboot --no-describe --drive 0x80 ||
echo faros: the first disk does not boot, back to the firmware
exit

:firmware
exit 1
";
    assert_eq!(render(Loader::Ipxe, &script, AGAIN), expected);
    let expected = "set timeout=0\necho 'faros: cp1 starts from its disk: it is installed'\nexit 1\n";
    assert_eq!(render(Loader::Grub, &script, AGAIN_GRUB), expected);
}

#[test]
fn an_unknown_machine_reads_what_to_do() {
    let script = Script::Unknown {
        mac: Some("52:54:00:00:08:99".parse().unwrap()),
        address: "192.168.8.130".parse().unwrap(),
    };
    for loader in [Loader::Ipxe, Loader::Grub] {
        let text = render(loader, &script, AGAIN);
        assert!(
            text.contains("the machine 52:54:00:00:08:99 (192.168.8.130) is not in the site file"),
            "{text}"
        );
        assert!(text.contains("add [[node]] with mac = \"52:54:00:00:08:99\""), "{text}");
        assert!(text.contains("exit") && !text.contains("kernel") && !text.contains("linux"), "{text}");
    }
}

#[test]
fn a_machine_that_waits_asks_again() {
    let script = Script::Wait { who: "cp1".to_owned(), why: "the disk is full".to_owned() };
    assert!(render(Loader::Ipxe, &script, AGAIN).contains(&format!("chain --replace --autofree {AGAIN}")));
    assert!(
        render(Loader::Grub, &script, AGAIN_GRUB)
            .contains("configfile '(http,192.168.8.1:8080)/boot/grub?mac=")
    );
}

#[test]
fn text_for_the_console_cannot_be_syntax() {
    let script = Script::Wait { who: "a'b".to_owned(), why: "${x} || shell\nshell ; #".to_owned() };
    for loader in [Loader::Ipxe, Loader::Grub] {
        let text = render(loader, &script, "http://a/b");
        assert!(!text.contains("${x}") && !text.contains("|| shell") && !text.contains("\nshell"), "{text}");
    }
}

#[test]
fn what_a_loader_cannot_pass_is_named() {
    let bad = |loader, args: &str| unquotable(loader, args).len();
    assert_eq!(bad(Loader::Ipxe, "quiet ds=nocloud;s=http://a/ --- a=\"b\""), 0);
    for args in ["a=${b}", "#x", "a ; b", "a && b", "a || b", "end\\", "a\nb"] {
        assert_eq!(bad(Loader::Ipxe, args), 1, "{args:?}");
    }
    assert_eq!(bad(Loader::Grub, "a=\"b\" it's c\\d e;f"), 3);
}

/// How iPXE reads a line: words at white space, up to a word that ends a command.
fn ipxe_command(line: &str) -> Vec<&str> {
    line.split_ascii_whitespace()
        .take_while(|word| !matches!(*word, ";" | "&&" | "||") && !word.starts_with('#'))
        .collect()
}

/// How GRUB reads a line of words quoted with `'` and backslashes.
fn grub_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut started) = (Vec::new(), String::new(), false, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => (quoted, started) = (!quoted, true),
            '\\' if !quoted => word.extend(chars.next()),
            ' ' | ';' if !quoted => {
                if std::mem::take(&mut started) {
                    words.push(std::mem::take(&mut word));
                }
                if c == ';' {
                    break;
                }
            }
            _ => {
                started = true;
                word.push(c);
            }
        }
    }
    if started {
        words.push(word);
    }
    words
}

proptest! {
    #[test]
    fn any_arguments_reach_the_kernel_through_ipxe(args in "[ -~]{0,60}") {
        prop_assume!(unquotable(Loader::Ipxe, &args).is_empty());
        let text = render(Loader::Ipxe, &install(&args), AGAIN);
        let line = text.lines().find(|line| line.starts_with("kernel ")).unwrap();
        let words = ipxe_command(line);
        let expected: Vec<&str> = args.split_ascii_whitespace().collect();
        prop_assert_eq!(&words[4..], &expected[..]);
        prop_assert!(line.ends_with(" || goto again"));
    }

    #[test]
    fn any_arguments_reach_the_kernel_through_grub(args in "[ -~]{0,60}") {
        let text = render(Loader::Grub, &install(&args), AGAIN_GRUB);
        let line = text.lines().find(|line| line.starts_with("if linux ")).unwrap();
        let words = grub_words(line.strip_prefix("if linux ").unwrap());
        let expected: Vec<&str> = args.split_ascii_whitespace().collect();
        prop_assert_eq!(&words[1..], &expected[..]);
    }
}
