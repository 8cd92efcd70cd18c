--- A definition that a store keeps since runs have used it, as programs read it.

local failure = require "weir.failure"

local M = {}

local or_null = require("weir.value").or_null

--- Raises `not_found`.
---@param store weir.Store
---@param version string 64 hexadecimal digits
---@return table {version, name, kind, file, text, normal} text: of its file, null when it is not kept
function M.kept(store, version)
  local kept = version:find "^%x+$" and store:get("definitions", version) or nil
  if not kept then failure.raise("not_found", "this store keeps no definition of version '%s'", version:sub(1, 64)) end
  return { version = version, name = or_null(kept.name), kind = or_null(kept.kind), file = or_null(kept.file), text = or_null(kept.text),
    normal = or_null(kept.normal) }
end

return M
