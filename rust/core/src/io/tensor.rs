//! An array as a model file holds it: element type, shape, little-endian bytes.

use crate::error::{Error, Result};
pub use safetensors::Dtype;

/// One array of a model file, in C order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Type of the elements, for example [`Dtype::F32`].
    pub dtype: Dtype,
    /// Length of each axis; none for a single number.
    pub shape: Vec<usize>,
    /// The elements, little-endian.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// A tensor of `shape` from its elements.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shape has another number of elements.
    ///
    /// # Examples
    /// ```
    /// use seqrs::io::Tensor;
    /// let tensor = Tensor::new(&[2, 1], &[0.5f32, -1.0])?;
    /// assert_eq!(tensor.to_vec::<f32>()?, [0.5, -1.0]);
    /// assert!(tensor.to_vec::<f64>().is_err());
    /// # Ok::<(), seqrs::Error>(())
    /// ```
    pub fn new<T: Element>(shape: &[usize], values: &[T]) -> Result<Self> {
        let tensor = Self { dtype: T::DTYPE, shape: shape.to_vec(), bytes: T::to_bytes(values) };
        tensor.validate("tensor")?;
        Ok(tensor)
    }

    /// The elements, as exactly the type they have.
    ///
    /// # Errors
    /// [`Error::Value`] where they have another type.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if self.dtype == T::DTYPE {
            Ok(T::from_bytes(&self.bytes))
        } else {
            Err(Error::value("dtype", T::DTYPE, self.dtype))
        }
    }

    /// An error where the bytes are not as many as type and shape say.
    pub(super) fn validate(&self, name: &str) -> Result<()> {
        let bits = self.shape.iter().try_fold(self.dtype.bitsize(), |bits, &axis| bits.checked_mul(axis));
        if bits == self.bytes.len().checked_mul(8) {
            return Ok(());
        }
        let expected = format!("of {} bytes of {} elements", self.bytes.len(), self.dtype);
        Err(Error::shape(name, expected, &self.shape))
    }
}

/// A number type that a [`Tensor`] can be made from.
pub trait Element: Copy {
    /// Its name in a file.
    const DTYPE: Dtype;
    /// Little-endian bytes of `values`.
    fn to_bytes(values: &[Self]) -> Vec<u8>;
    /// The numbers in little-endian `bytes`; bytes too few for a whole one are left out.
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! element {
    ($($t:ident $dtype:ident),*) => {$(
        impl Element for $t {
            const DTYPE: Dtype = Dtype::$dtype;
            fn to_bytes(values: &[Self]) -> Vec<u8> {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                bytes.as_chunks().0.iter().map(|&chunk| $t::from_le_bytes(chunk)).collect()
            }
        }
    )*};
}
element!(u8 U8, i8 I8, i16 I16, u16 U16, i32 I32, u32 U32, i64 I64, u64 U64, f32 F32, f64 F64);
