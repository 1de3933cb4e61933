//! Which image a broker is started from.

use testcontainers::GenericImage;

use super::engine::Engine;

/// The images of one broker, in the order in which they are wanted.
pub(crate) struct Images {
    /// The variable that names another.
    pub(crate) variable: &'static str,
    /// What its makers publish.
    pub(crate) official: &'static str,
    /// What `ci/images` makes where that cannot be had.
    pub(crate) ours: &'static str,
}

impl Images {
    /// The one to use: what the caller says, what the environment says, what is here.
    pub(crate) async fn choose(&self, engine: &Engine, wanted: Option<&str>) -> String {
        if let Some(wanted) = wanted {
            return wanted.to_owned();
        }
        if let Ok(wanted) = std::env::var(self.variable) {
            return wanted;
        }
        for image in [self.official, self.ours] {
            if engine.has_image(image).await {
                return image.to_owned();
            }
        }
        self.official.to_owned()
    }
}

/// An image by its name and tag, as the library that starts containers wants it.
pub(super) fn parse(image: &str) -> GenericImage {
    match image.rsplit_once(':') {
        // Else the colon is of a registry's port.
        Some((name, tag)) if !tag.contains('/') => GenericImage::new(name, tag),
        _ => GenericImage::new(image, "latest"),
    }
}
