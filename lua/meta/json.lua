---@meta weir.native.json
-- luacheck: ignore 212 241

--- Strict JSON (RFC 8259) for Lua values. Modules use weir.json. Nothing here waits.
local M = {}

--- The value that stands for null: a light userdata, the same as cjson.null.
---@type lightuserdata
M.null = nil

---@class weir.JsonDecoder
local Decoder = {}

--- Reads one JSON text.
---@param text string
---@param options { max_bytes: integer?, max_depth: integer? }|nil default 16 MiB and 64 levels
---@return any value
---@return string|nil message `line 3, column 7: ...`
---@return string|nil code `invalid`, `limit`
---@return { line: integer, column: integer, offset: integer }|nil where all from 1
function M.decode(text, options) end

--- Writes a value; keys in order of their bytes.
---@param value any plain data
---@param options { indent: integer?, canonical: boolean?, max_bytes: integer? }|nil canonical: one value, one text
---@return string|nil text
---@return string|nil message `at .a.b[2]: ...`
---@return string|nil code `invalid`, `limit`
function M.encode(value, options) end

--- Marks a table as a list, so that an empty one is written as `[]`.
---@param list table|nil a new one without
---@return table list
function M.list(list) end

--- True for a marked table, and for one whose keys are exactly 1..n, n above 0.
---@param value any
---@return boolean
function M.is_list(value) end

--- Makes a reader of values that come in pieces.
---@param options { max_bytes: integer?, max_depth: integer? }|nil of each value
---@return weir.JsonDecoder
function M.decoder(options) end

--- Takes the next bytes. Values before a mistake are handed out first; the mistake answers every later call.
---@param bytes string
---@return any[]|nil values those that are complete now
---@return string|nil message
---@return string|nil code `invalid`, `limit`
---@return { line: integer, column: integer, offset: integer }|nil where
function Decoder:feed(bytes) end

--- Says that no more bytes come. A stream that ends inside a value is `invalid`.
---@return any[]|nil values what the end completes, at most one
---@return string|nil message
---@return string|nil code
---@return { line: integer, column: integer, offset: integer }|nil where
function Decoder:finish() end

return M
