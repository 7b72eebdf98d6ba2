//! Amounts of resources, as Kubernetes writes them: `4`, `500m`, `1.5`, `16Gi`, `2e3`.

/// What a unit multiplies by.
const UNITS: [(&str, f64); 16] = [
    ("", 1.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
];

/// Returns whether a text is an amount above nothing.
pub(crate) fn is_quantity(text: &str) -> bool {
    amount(text).is_some()
}

/// Returns the amount in whole units of the resource (cores, bytes, GPUs); `None` when the text is no amount above
/// nothing.
pub(crate) fn amount(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    if number.matches('.').count() > 1 || !number.contains(|c: char| matches!(c, '1'..='9')) {
        return None;
    }
    if let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == suffix) {
        return number.parse().ok().map(|number: f64| number * unit);
    }
    let power = suffix.strip_prefix(['e', 'E'])?;
    let digits = power.strip_prefix(['+', '-']).unwrap_or(power);
    let is_power = (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_power.then(|| text.parse().ok()).flatten()
}

/// Writes an amount of a resource as Kubernetes does: cores with thousandths, bytes in GiB or MiB, whole numbers else.
pub(crate) fn written(resource: &str, amount: f64) -> String {
    const GIB: f64 = 1_073_741_824.0;
    const MIB: f64 = 1_048_576.0;
    let is_bytes = matches!(resource, "memory" | "ephemeral-storage") || resource.starts_with("hugepages-");
    match resource {
        _ if is_bytes && amount >= GIB => format!("{:.1}Gi", amount / GIB),
        _ if is_bytes => format!("{:.0}Mi", amount / MIB),
        "cpu" if amount.fract() > 0.0005 => format!("{:.0}m", amount * 1000.0),
        _ => format!("{amount:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them() {
        for (text, wanted) in [
            ("4", Some(4.0)),
            ("500m", Some(0.5)),
            ("1.5", Some(1.5)),
            ("16Gi", Some(16.0 * 1_073_741_824.0)),
            ("2e3", Some(2000.0)),
            ("2E", Some(2e18)),
            ("3M", Some(3e6)),
            ("0", None),
            ("", None),
            ("-1", None),
            ("4 Gi", None),
            ("1.2.3", None),
            ("16gb", None),
            ("1e100", None),
        ] {
            assert_eq!(amount(text), wanted, "{text}");
        }
    }
}
