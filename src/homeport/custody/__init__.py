"""Where the private keys of issuing authorities are kept: sealed under a master key, or in a PKCS#11 token.

Nothing is decided here, and nothing stored: a sealed key goes back to whoever asked, useless without the master key.
"""

from homeport.custody.keys import Custody
from homeport.custody.master_key import MasterKeys, MasterKeysError
from homeport.custody.pkcs11_token import Tokens

__all__ = ["Custody", "MasterKeys", "MasterKeysError", "Tokens"]
