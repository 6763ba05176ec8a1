//! Methods of types without values, which stand for devices that a build lacks: they are never called.

/// Methods of types without values.
macro_rules! never {
    ($type:ident: $($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        impl $type {
            $(pub(super) fn $name(&self $(, _: $argument)*) -> $result {
                match *self {}
            })*
        }
    };
}
pub(super) use never;
