//! Names of enum values: one spelling for the database, the interfaces and the logs.

/// Gives enums without data `ALL`, `NAMES`, `as_str`, `parse` and `names`, from what strum derives for them.
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

            /// Every name, in the order of [`Self::ALL`].
            pub const NAMES: [&'static str; <Self as strum::EnumCount>::COUNT] =
                match <Self as strum::VariantNames>::VARIANTS.first_chunk() {
                    Some(names) => *names,
                    None => unreachable!(),
                };

            /// The name in the database and the interfaces.
            pub const fn as_str(self) -> &'static str {
                Self::NAMES[self as usize]
            }

            /// The value with this name.
            pub fn parse(name: &str) -> Option<Self> {
                name.parse().ok()
            }

            /// The names of the values that a predicate picks, as a query takes them.
            pub fn names(picks: impl Fn(Self) -> bool) -> Vec<String> {
                let picked = Self::ALL.into_iter().filter(|value| picks(*value));
                picked.map(|value| value.as_str().to_owned()).collect()
            }
        }
    )+};
}
pub(crate) use named;
