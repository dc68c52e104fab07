//! Printing for the program's user.

/// As `println!`, but whoever has stopped listening (`| head`) is no reason to
/// stop working.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout(), $($text)*).ok();
    }};
}
