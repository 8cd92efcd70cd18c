--- URI references as JSON Schema needs them: parse and resolve, RFC 3986 section 5. Pure.

local M = {}

local function parse(text)
  local uri, rest = {}, text
  uri.scheme, rest = rest:match("^(%a[%w+.-]*):(.*)$")
  rest = rest or text
  local before, fragment = rest:match("^([^#]*)#(.*)$")
  uri.fragment, rest = fragment, before or rest
  local path, query = rest:match("^([^?]*)%?(.*)$")
  uri.query, rest = query, path or rest
  local authority, after = rest:match("^//([^/]*)(.*)$")
  uri.authority, uri.path = authority, after or rest
  return uri
end

local function remove_dots(path)
  local parts, is_absolute = {}, path:sub(1, 1) == "/"
  local ends_in_folder = path:find("/%.?%.?$") ~= nil
  for part in path:gmatch("[^/]+") do
    if part == ".." then
      parts[#parts] = nil
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  local joined = (is_absolute and "/" or "") .. table.concat(parts, "/")
  return ends_in_folder and joined:sub(-1) ~= "/" and joined .. "/" or joined
end

local function merged(base, path)
  if base.authority and base.path == "" then return "/" .. path end
  return (base.path:match("^(.*/)") or "") .. path
end

local function join(uri)
  return table.concat {
    uri.scheme and uri.scheme .. ":" or "", uri.authority and "//" .. uri.authority or "", uri.path,
    uri.query and "?" .. uri.query or "",
  }
end

local function target(base, reference)
  if reference.scheme then return reference end
  local result = { scheme = base.scheme, authority = base.authority, path = base.path, query = base.query }
  if reference.authority then
    result.authority, result.path, result.query = reference.authority, remove_dots(reference.path), reference.query
  elseif reference.path ~= "" then
    local path = reference.path:sub(1, 1) == "/" and reference.path or merged(base, reference.path)
    result.path, result.query = remove_dots(path), reference.query
  elseif reference.query then
    result.query = reference.query
  end
  return result
end

--- Resolves a reference against a base.
---@param base string       an absolute URI, or ""
---@param reference string
---@return string uri       without its fragment
---@return string fragment  percent-decoded; "" if there is none
function M.resolve(base, reference)
  local parsed = parse(reference)
  local fragment = (parsed.fragment or ""):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  return join(target(parse(base), parsed)), fragment
end

return M
