//! Names of enum values: one spelling for the database, the interfaces and the logs.

/// Gives enums without data `ALL`, `as_str` and `parse`, from what strum derives for them.
///
/// The names are snake case, as serde writes them.
macro_rules! named {
    ($($name:ty),+ $(,)?) => {$(
        impl $name {
            /// Every value, in the order of its declaration.
            pub const ALL: [Self; <Self as strum::EnumCount>::COUNT] =
                match <Self as strum::VariantArray>::VARIANTS.first_chunk() {
                    Some(all) => *all,
                    None => unreachable!(),
                };

            /// The name in the database and the interfaces.
            pub const fn as_str(self) -> &'static str {
                <Self as strum::VariantNames>::VARIANTS[self as usize]
            }

            /// The value with this name.
            pub fn parse(name: &str) -> Option<Self> {
                name.parse().ok()
            }
        }
    )+};
}
pub(crate) use named;
