//! The objects for Kubernetes: what they look like, and that they pass the Pod Security Standard
//! `restricted`.

mod objects;
mod printed;
mod restricted;
mod spoilt;
