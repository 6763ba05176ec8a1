//! Whether futures and sources must be `Send`, which differs between a host with threads and a page without.

use std::pin::Pin;

/// A boxed future: `Send` on a host, not on `wasm32`, where promises stay on their thread.
#[cfg(not(target_arch = "wasm32"))]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A boxed future: `Send` on a host, not on `wasm32`, where promises stay on their thread.
#[cfg(target_arch = "wasm32")]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// `Send + Sync` on a host; any type on `wasm32`.
#[cfg(not(target_arch = "wasm32"))]
pub trait WasmNotSend: Send + Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + Sync + ?Sized> WasmNotSend for T {}

/// `Send + Sync` on a host; any type on `wasm32`.
#[cfg(target_arch = "wasm32")]
pub trait WasmNotSend {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> WasmNotSend for T {}

/// `Send + Sync` if kernels use threads; any type otherwise, since a page's GPU handles stay on their thread.
#[cfg(any(feature = "native", feature = "wasm-threads"))]
pub trait Shareable: Send + Sync {}
#[cfg(any(feature = "native", feature = "wasm-threads"))]
impl<T: Send + Sync + ?Sized> Shareable for T {}

/// `Send + Sync` if kernels use threads; any type otherwise, since a page's GPU handles stay on their thread.
#[cfg(not(any(feature = "native", feature = "wasm-threads")))]
pub trait Shareable {}
#[cfg(not(any(feature = "native", feature = "wasm-threads")))]
impl<T: ?Sized> Shareable for T {}
