//! Runs iPXE scripts: as much of the language as boot scripts use (<https://ipxe.org/scripting>).

/// What a script does to the world.
pub(super) trait Effects {
    /// Loads a kernel or an initial RAM disk.
    fn load(&mut self, url: &str) -> Result<(), String>;
    /// Fetches a further script.
    fn script(&mut self, url: &str) -> Result<String, String>;
    /// A setting such as `platform` or `net0/mac:hexhyp`.
    fn setting(&self, name: &str) -> Option<String>;
    /// Waits.
    fn sleep(&mut self, secs: u64);
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The kernel runs with these arguments.
    Boot { arguments: String },
    /// The machine goes on with its local disk.
    LocalDisk,
}

/// Commands in one boot; a script that needs more runs in circles.
const STEPS_MAX: u32 = 500;

/// Runs `text` to its end.
pub(super) fn run(text: &str, effects: &mut impl Effects) -> Result<Outcome, String> {
    let mut machine = Machine { kernel: None, lines: lines(text)?, at: 0, failure: String::new() };
    for _ in 0..STEPS_MAX {
        let Some(line) = machine.lines.get(machine.at).cloned() else {
            // iPXE leaves a script that ran out without booting as it leaves `exit`.
            return Ok(Outcome::LocalDisk);
        };
        machine.at += 1;
        if let Some(outcome) = machine.run_line(&line, effects)? {
            return Ok(outcome);
        }
    }
    Err(format!("the boot script runs in circles; its last failure: {}", machine.failure))
}

struct Machine {
    kernel: Option<String>,
    lines: Vec<String>,
    at: usize,
    failure: String,
}

enum Effect {
    Nothing,
    End(Outcome),
    Jump,
}

impl Machine {
    fn run_line(&mut self, line: &str, effects: &mut impl Effects) -> Result<Option<Outcome>, String> {
        let words: Vec<_> = line.split_whitespace().map(|word| expand(word, effects)).collect();
        let mut good = true;
        let mut wanted = true;
        for part in words.split_inclusive(|word| word == "||" || word == "&&") {
            let (command, joint) = match part.split_last() {
                Some((last, before)) if last == "||" || last == "&&" => (before, Some(last.as_str())),
                _ => (part, None),
            };
            if wanted {
                match self.run_command(command, effects) {
                    Ok(Effect::Nothing) => good = true,
                    Ok(Effect::End(outcome)) => return Ok(Some(outcome)),
                    Ok(Effect::Jump) => return Ok(None),
                    Err(why) => {
                        self.failure = why;
                        good = false;
                    }
                }
            }
            wanted = match joint {
                Some("||") => !good,
                _ => good,
            };
            if joint == Some("||")
                && part.len() == command.len() + 1
                && words.last().is_some_and(|w| w == "||")
            {
                // `command ||` at the end of a line forgives the command.
                good = true;
            }
        }
        if good { Ok(None) } else { Err(format!("`{line}` failed: {}", self.failure)) }
    }

    fn run_command(&mut self, words: &[String], effects: &mut impl Effects) -> Result<Effect, String> {
        let Some((name, rest)) = words.split_first() else { return Ok(Effect::Nothing) };
        let plain: Vec<&str> = without_flags(rest);
        match name.as_str() {
            "kernel" | "initrd" | "module" | "imgfetch" => {
                let url = plain.first().ok_or("no URL")?;
                effects.load(url)?;
                if name == "kernel" {
                    self.kernel = Some(plain[1..].join(" "));
                }
                Ok(Effect::Nothing)
            }
            "boot" => {
                let arguments = self.kernel.clone().ok_or("no kernel was loaded")?;
                Ok(Effect::End(Outcome::Boot { arguments }))
            }
            "chain" => {
                self.lines = lines(&effects.script(plain.first().ok_or("no URL")?)?)?;
                self.at = 0;
                Ok(Effect::Jump)
            }
            "goto" => {
                let label = format!(":{}", plain.first().ok_or("no label")?);
                let at = self.lines.iter().position(|line| line.trim() == label);
                self.at = at.ok_or_else(|| format!("there is no label {label}"))?;
                Ok(Effect::Jump)
            }
            "iseq" => match plain[..] {
                [a, b] if a == b => Ok(Effect::Nothing),
                _ => Err("not equal".to_owned()),
            },
            "isset" => (!plain.is_empty()).then_some(Effect::Nothing).ok_or_else(|| "not set".to_owned()),
            "sanboot" | "exit" | "shell" => Ok(Effect::End(Outcome::LocalDisk)),
            "sleep" => {
                effects.sleep(plain.first().and_then(|secs| secs.parse().ok()).unwrap_or(0));
                Ok(Effect::Nothing)
            }
            "echo" | "imgfree" | "dhcp" | "set" | "prompt" => Ok(Effect::Nothing),
            label if label.starts_with(':') => Ok(Effect::Nothing),
            unknown => Err(format!("{unknown} is no command that the lab's iPXE knows")),
        }
    }
}

fn lines(text: &str) -> Result<Vec<String>, String> {
    let mut lines = text.lines();
    match lines.next() {
        Some(first) if first.trim_end() == "#!ipxe" => {}
        other => return Err(format!("a script that begins with {other:?} instead of #!ipxe")),
    }
    Ok(lines.filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned).collect())
}

/// `--name initrd0` and the like.
fn without_flags(words: &[String]) -> Vec<&str> {
    let mut plain = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--name" | "-n" | "--drive" | "--timeout" => {
                words.next();
            }
            flag if flag.starts_with("--") => {}
            other => plain.push(other),
        }
    }
    plain
}

fn expand(word: &str, effects: &impl Effects) -> String {
    let mut expanded = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else { break };
        expanded.push_str(before);
        expanded.push_str(&effects.setting(name).unwrap_or_default());
        rest = behind;
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct World {
        platform: &'static str,
        missing: &'static str,
        loaded: Vec<String>,
        slept: u64,
    }

    impl Effects for World {
        fn load(&mut self, url: &str) -> Result<(), String> {
            if url == self.missing {
                // Appears for the second attempt.
                self.missing = "";
                return Err("404".to_owned());
            }
            self.loaded.push(url.to_owned());
            Ok(())
        }
        fn script(&mut self, _: &str) -> Result<String, String> {
            Ok("#!ipxe\nkernel http://a/k second\nboot\n".to_owned())
        }
        fn setting(&self, name: &str) -> Option<String> {
            (name == "platform").then(|| self.platform.to_owned())
        }
        fn sleep(&mut self, secs: u64) {
            self.slept += secs;
        }
    }

    const INSTALL: &str = "#!ipxe\n\necho\necho faros: armed\nimgfree\n\
        kernel http://a/k initrd=initrd0 x=y || goto again\ninitrd --name initrd0 http://a/i || goto again\n\
        boot || goto again\n\n:again\nsleep 5\nchain --replace --autofree http://a/s || goto again\n";
    const DISK: &str = "#!ipxe\niseq ${platform} efi && goto firmware ||\n\
        kernel http://a/bios ||\nsanboot --no-describe --drive 0x80 ||\nexit\n\n:firmware\nexit 1\n";

    #[test]
    fn an_installation_loads_and_boots() {
        let mut world = World::default();
        let outcome = run(INSTALL, &mut world).unwrap();
        assert_eq!(outcome, Outcome::Boot { arguments: "initrd=initrd0 x=y".to_owned() });
        assert_eq!(world.loaded, ["http://a/k", "http://a/i"]);
    }

    #[test]
    fn a_failed_load_is_tried_again_as_the_script_says() {
        let mut world = World { missing: "http://a/i", ..World::default() };
        let outcome = run(INSTALL, &mut world).unwrap();
        assert_eq!(outcome, Outcome::Boot { arguments: "second".to_owned() });
        assert_eq!(world.slept, 5);
    }

    #[test]
    fn branches_follow_the_platform() {
        for (platform, loads) in [("efi", 0), ("pcbios", 1)] {
            let mut world = World { platform, ..World::default() };
            assert_eq!(run(DISK, &mut world).unwrap(), Outcome::LocalDisk);
            assert_eq!(world.loaded.len(), loads, "{platform}");
        }
    }

    #[test]
    fn what_is_not_understood_is_not_passed_over() {
        let mut world = World::default();
        assert!(run("no script", &mut world).is_err());
        assert!(run("#!ipxe\nfrobnicate\n", &mut world).unwrap_err().contains("frobnicate"));
        assert!(run("#!ipxe\n:a\ngoto a\n", &mut world).unwrap_err().contains("circles"));
    }
}
