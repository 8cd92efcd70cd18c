---@meta weir.native.digest
-- luacheck: ignore 212 241

--- Digests, comparison in constant time, random bytes, hex and base64. A shared object of its own, which brings
--- libcrypto. Nothing here waits.
local M = {}

---@param bytes string
---@param form "hex"|"raw"|nil
---@return string
function M.sha256(bytes, form) end

--- Source: RFC 2104.
---@param key string
---@param bytes string
---@param form "hex"|"raw"|nil
---@return string
function M.hmac_sha256(key, bytes, form) end

--- Whether two strings are equal, in a time that depends on their lengths only.
---@param a string
---@param b string
---@return boolean
function M.equal(a, b) end

---@param count integer 1..1048576
---@return string|nil bytes
---@return string|nil message
---@return string|nil code `unavailable`
function M.random(count) end

--- Whether a signature (Ed25519, RFC 8032) is that of a key.
---@param public_key string 32 bytes
---@param bytes string what was signed
---@param signature string
---@return boolean
function M.ed25519_verify(public_key, bytes, signature) end

---@param private_key string 32 bytes, as `random` gives them
---@param bytes string
---@return string signature 64 bytes
function M.ed25519_sign(private_key, bytes) end

---@param private_key string 32 bytes
---@return string public_key 32 bytes
function M.ed25519_public(private_key) end

---@param bytes string
---@return string digits in lower case
function M.to_hex(bytes) end

---@param text string
---@return string|nil bytes
---@return string|nil message
---@return string|nil code `invalid`
function M.from_hex(text) end

--- Source: RFC 4648.
---@param bytes string
---@param alphabet "standard"|"url"|nil `url` has - and _ and no padding
---@return string
function M.to_base64(bytes, alphabet) end

--- Strict: no spaces, no other alphabet; `standard` needs its padding, `url` may leave it out.
---@param text string
---@param alphabet "standard"|"url"|nil
---@return string|nil bytes
---@return string|nil message
---@return string|nil code `invalid`
function M.from_base64(text, alphabet) end

return M
