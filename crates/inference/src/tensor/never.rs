//! Methods of uninhabited types, which stand for devices that are not compiled in. They are never called.

/// Defines methods of uninhabited types.
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
