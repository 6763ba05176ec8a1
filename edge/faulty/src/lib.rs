//! A component that misbehaves in the way named by the request's path. A host has to stop it and continue.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use std::hint::black_box;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    match request.uri().path() {
        "/loop" => loop {
            black_box(());
        },
        "/allocate" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1u8; 1 << 20]);
                black_box(&all);
            }
        }
        "/trap" => std::process::abort(),
        _ => "well",
    }
}
