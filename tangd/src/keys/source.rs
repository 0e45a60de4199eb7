//! Where keys come from.

use super::{KeysError, PrivateJwk, PublicCopy};

/// Where keys come from: a directory in clear, or a sealed store.
///
/// A source does input and output and may block for as long as a few small files take; [`super::Keys`] asks it.
pub trait KeySource: Send + Sync {
    /// Reads all keys.
    ///
    /// # Errors
    /// [`KeysError`] where they cannot be read. A single unreadable key is no error: it stands in [`Loaded`].
    fn load(&self) -> Result<Loaded, KeysError>;

    /// A value that is another one after any change, at the cost of a few system calls: asked before each request.
    ///
    /// # Errors
    /// [`KeysError`] where the source is not there.
    fn version(&self) -> Result<Version, KeysError>;

    /// Adds keys, each for good before this returns.
    ///
    /// # Errors
    /// [`KeysError`]: none of the keys is promised then; those already written stay.
    fn add(&self, keys: &[PrivateJwk]) -> Result<Vec<String>, KeysError>;

    /// Makes every advertised key a hidden one, apart from those whose file is named in `keep`.
    ///
    /// # Errors
    /// [`KeysError`]: those already hidden stay hidden.
    fn hide_all_but(&self, keep: &[String]) -> Result<Vec<(String, String)>, KeysError>;

    /// Deletes the key with this S256 thumbprint for good, under all the names that it has. Only a key that is rotated
    /// out: disks that are still bound to it are lost to Tang. Returns the names of its files.
    ///
    /// # Errors
    /// [`KeysError::NoSuchKey`], [`KeysError::InUse`], and what the system refused: then it may still be there.
    fn forget(&self, thumbprint: &str) -> Result<Vec<String>, KeysError>;

    /// Adds a fresh pair, ES512 and ECMR on P-521, as the first start of upstream does. Returns the new files' names.
    ///
    /// # Errors
    /// [`KeysError`] where no key can be made or stored.
    fn generate(&self) -> Result<Vec<String>, KeysError> {
        self.add(&PrivateJwk::pair()?)
    }

    /// The same, unless there is a key file in use already: what a first start does, be it of several processes at once.
    ///
    /// # Errors
    /// [`KeysError`] where no key can be made or stored.
    fn generate_first(&self) -> Result<Vec<String>, KeysError> {
        self.generate()
    }

    /// Adds a fresh pair, and then hides the keys that were advertised before: at no moment is there none.
    ///
    /// # Errors
    /// [`KeysError`]: with the fresh pair stored and an old key not hidden, both are advertised; rotate again.
    fn rotate(&self) -> Result<Rotated, KeysError> {
        let added = self.generate()?;
        let hidden = self.hide_all_but(&added)?;
        Ok(Rotated { added, hidden })
    }
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// File names of the fresh keys.
    pub added: Vec<String>,
    /// Old and new file name of each key that is hidden now.
    pub hidden: Vec<(String, String)>,
}

/// A source's state, to be compared and no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Anything that changes with the source.
    pub stamp: Vec<u64>,
    /// Whether an equal stamp means equal keys. A file system tells times apart only by its clock's ticks, so for
    /// a while after a change another one may leave the same stamp.
    pub settled: bool,
}

/// What a source holds.
#[derive(Debug)]
pub enum Loaded {
    /// Private keys, and what could not be read.
    Open {
        /// The keys.
        keys: Vec<SourcedKey>,
        /// Files that hold no key that can be used: logged once, and counted.
        skipped: Vec<Skipped>,
    },
    /// The store is sealed: all that is known is what was public.
    Sealed(PublicCopy),
}

/// A key and its file.
#[derive(Debug)]
pub struct SourcedKey {
    /// Name of its file, without folders; a leading `.` means hidden.
    pub file: String,
    /// The key.
    pub jwk: PrivateJwk,
}

/// A file that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Its name, without folders.
    pub file: String,
    /// Why, in words without any of its content.
    pub reason: String,
}
