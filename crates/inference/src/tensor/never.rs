//! What stands for a kind of device that a build lacks: methods of types without values, which are never called.

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
