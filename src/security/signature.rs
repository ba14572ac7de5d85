//! Whether a key has signed something, where the key is known and the way of signing is not looked
//! up: whichever fits was the one.

use rustls::crypto::CryptoProvider;

/// Whether `signature` over `content` is of this key, in one of the ways that TLS takes as well.
pub(super) fn is_signed_by(
    public_key: &[u8],
    content: &[u8],
    signature: &[u8],
    provider: &CryptoProvider,
) -> bool {
    provider
        .signature_verification_algorithms
        .all
        .iter()
        .any(|way| way.verify_signature(public_key, content, signature).is_ok())
}
