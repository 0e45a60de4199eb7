//! The journeys as a table for people.

use super::{Journey, Stage};

/// One line per node, with a heading.
pub(crate) fn table(journeys: &[Journey]) -> String {
    let mut rows = vec![heading()];
    rows.extend(journeys.iter().map(row));
    let columns = rows[0].len();
    let widths: Vec<_> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                // Times are read by their decimal point.
                if is_time(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    for journey in journeys {
        if let Some(stall) = &journey.stall {
            text.push_str(&format!("{} did not reach {}: {}\n", journey.node, stall.stage.name(), stall.why));
        } else if journey.addresses.len() > 1 {
            let addresses: Vec<_> = journey.addresses.iter().map(ToString::to_string).collect();
            text.push_str(&format!("{} had more than one address: {}\n", journey.node, addresses.join(", ")));
        }
    }
    text
}

fn heading() -> Vec<String> {
    let stages = Stage::ALL.map(Stage::name);
    ["node", "firmware", "address"]
        .into_iter()
        .chain(stages)
        .chain(["configuring"])
        .map(str::to_owned)
        .collect()
}

fn is_time(column: usize) -> bool {
    column >= 3
}

fn row(journey: &Journey) -> Vec<String> {
    let address = match journey.addresses.len() {
        0 => "-".to_owned(),
        1 => journey.addresses.iter().map(ToString::to_string).collect(),
        count => format!("{count} addresses"),
    };
    let firmware = format!("{}{}", journey.firmware, if journey.light { " (light)" } else { "" });
    let mut cells = vec![journey.node.clone(), firmware, address];
    for stage in Stage::ALL {
        cells.push(match (journey.stages.get(&stage), &journey.stall) {
            (Some(reached), _) => format!("{:.1} s", reached.secs),
            (None, Some(stall)) if stall.stage == stage => "STALLED".to_owned(),
            (None, _) => "-".to_owned(),
        });
    }
    let slowest = journey.ipxe_configuring_secs.iter().copied().reduce(f64::max);
    cells.push(slowest.map_or_else(|| "-".to_owned(), |secs| format!("{secs:.2} s")));
    cells
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faros_common::clock;

    use super::*;
    use crate::firmware::Firmware;
    use crate::vm::ConsoleLine;

    #[test]
    fn columns_line_up_and_a_stall_is_explained() {
        let now = clock::now();
        let mut good = Journey::new("cp1".to_owned(), "525400000811".parse().unwrap(), Firmware::Bios, true);
        good.on_power(now);
        let ended = now + Duration::from_millis(1250);
        good.on_line(&ConsoleLine { began: now, ended, text: "FAROS-NODE kernel light".to_owned() });
        let mut bad =
            Journey::new("uefi-http".to_owned(), "525400000812".parse().unwrap(), Firmware::UefiHttp, false);
        bad.on_power(now);
        bad.stop("no answer".to_owned());
        let text = table(&[good, bad]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "node       firmware      address     DHCP  loader  kernel  ignition  installed  disk  API  configuring"
        );
        assert_eq!(
            lines[1],
            "cp1        bios (light)  -              -       -   1.2 s         -          -     -    -            -"
        );
        assert_eq!(
            lines[2],
            "uefi-http  uefi-http     -        STALLED       -       -         -          -     -    -            -"
        );
        assert_eq!(lines[3], "uefi-http did not reach DHCP: no answer");
    }
}
