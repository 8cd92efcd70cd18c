--- Parts of the library that an installation may lack.

--- A part of the library, or nil when there is no such file. Raises what loading it raises.
---@param name string such as "weir.http"
---@return any
return function(name)
  local ok, found = pcall(require, name)
  if ok then return found end
  if tostring(found):find(("module '%s' not found"):format(name), 1, true) then return nil end
  error(found, 0)
end
