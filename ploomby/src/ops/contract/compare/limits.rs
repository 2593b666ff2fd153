/// What fits into an integer, by the format that `schemars` gives it.
pub(super) fn of(format: &str) -> Option<(f64, f64)> {
    let (is_signed, bits) = match format.strip_prefix("uint") {
        Some(bits) => (false, bits),
        None => (true, format.strip_prefix("int")?),
    };
    let bits: i32 = match bits {
        "" => 64,
        bits => bits.parse().ok()?,
    };
    Some(match is_signed {
        true => (-(2_f64.powi(bits - 1)), 2_f64.powi(bits - 1) - 1.0),
        false => (0.0, 2_f64.powi(bits) - 1.0),
    })
}
