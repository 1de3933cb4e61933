//! Names as Kubernetes takes them, refused here with a reason instead of there without.

/// Most characters of a label of DNS (RFC 1123), and of a label's value.
const LABEL: usize = 63;

/// Most characters of a name of several labels.
const SUBDOMAIN: usize = 253;

/// Most characters of an image's name that we pass on; registries take less.
const IMAGE: usize = 512;

/// Checks a name of one label, such as a namespace's.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_label(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > LABEL {
        return Err(format!("{name:?} has {} characters, not 1 to {LABEL}", name.len()));
    }
    if let Some(bad) = name.chars().find(|&c| !fits(c)) {
        return Err(format!(
            "{name:?} has {bad:?} in it, but may have only a to z, 0 to 9 and - (RFC 1123)"
        ));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(format!("{name:?} begins or ends with -, not with a letter or a digit"));
    }
    Ok(())
}

/// Checks a name of one label or several with dots between, such as a StorageClass's.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_subdomain(name: &str) -> Result<(), String> {
    if name.len() > SUBDOMAIN {
        return Err(format!("it has {} characters, over {SUBDOMAIN}", name.len()));
    }
    name.split('.').try_for_each(check_label)
}

/// Checks the value of a label.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_value(value: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends_well = |end: Option<char>| end.is_some_and(|c| c.is_ascii_alphanumeric());
    if value.len() <= LABEL
        && value.chars().all(fits)
        && ends_well(value.chars().next())
        && ends_well(value.chars().next_back())
    {
        return Ok(());
    }
    Err(format!(
        "{value:?} is no label's value: 1 to {LABEL} of letters, digits, -, _ and ., with a letter \
         or a digit at both ends"
    ))
}

/// Checks an image's name, such as `registry.example.org:5000/ttg-worker:1.0`, as far as a name can
/// be wrong whatever the registry.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_image(image: &str) -> Result<(), String> {
    let no = |why: &str| Err(format!("{image:?} is no image: {why}"));
    if image.is_empty() || image.len() > IMAGE {
        return no("it is empty, or too long");
    }
    if !image.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@".contains(c)) {
        return no("it has a character that no image's name has");
    }
    let (name, digest) = image.split_once('@').map_or((image, None), |(n, d)| (n, Some(d)));
    if digest.is_some_and(|digest| !digest.contains(':')) {
        return no("what follows the @ is no digest, such as sha256:…");
    }
    // A colon before a slash is of a registry's port.
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    if tag.is_some_and(|tag| tag.is_empty() || tag.len() > 128 || tag.starts_with(['.', '-'])) {
        return no("what follows the last : is no tag");
    }
    let parts: Vec<&str> = path.split('/').collect();
    let repository =
        if parts.len() > 1 && parts[0].contains(['.', ':']) { &parts[1..] } else { &parts };
    if repository.iter().any(|part| part.is_empty() || part.contains(':')) {
        return no("a part of its path is empty, or has a : in it");
    }
    if repository.iter().any(|part| part.chars().any(|c| c.is_ascii_uppercase())) {
        return no("a repository is in lower case");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ttg")]
    #[case("a-1")]
    fn names(#[case] good: &str) {
        assert_eq!(check_label(good), Ok(()));
    }

    #[rstest]
    #[case("", "0 characters")]
    #[case(&"a".repeat(64), "64 characters")]
    #[case("My-Space", "'M'")]
    #[case("a.b", "'.'")]
    #[case("-a", "begins or ends")]
    fn bad_names(#[case] bad: &str, #[case] why: &str) {
        let said = check_label(bad).unwrap_err();
        assert!(said.contains(why), "{said}");
    }

    #[rstest]
    #[case("ttg-worker:dev")]
    #[case("redis")]
    #[case("localhost:5000/ttg/worker")]
    #[case("ttg.azurecr.io/ttg-worker:1.0_rc.1")]
    #[case("ghcr.io/ttg/worker@sha256:0123456789abcdef")]
    fn images(#[case] good: &str) {
        assert_eq!(check_image(good), Ok(()));
    }

    #[rstest]
    #[case("", "empty")]
    #[case("ttg worker", "character")]
    #[case("ttg-worker:", "tag")]
    #[case("TTG-worker:dev", "lower case")]
    #[case("ttg//worker", "empty")]
    #[case("ttg@latest", "digest")]
    fn bad_images(#[case] bad: &str, #[case] why: &str) {
        let said = check_image(bad).unwrap_err();
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn values_and_subdomains() {
        assert_eq!(check_value("M3_a.b"), Ok(()));
        assert!(check_value("m3 ").is_err());
        assert!(check_value("").is_err());
        assert_eq!(check_subdomain("managed-csi.example.org"), Ok(()));
        assert!(check_subdomain("managed..csi").is_err());
    }
}
