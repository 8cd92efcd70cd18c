--- File name patterns: `*` (anything but a slash), `?` (one character), `[a-z]` and `[!a-z]`, `{one,two}`,
--- and `**` as a whole part of a path (any number of folders). A pattern without a slash is for the last
--- part of a path. Pure. Matching goes back to the last star only, so time is at most pattern times name.

local M = {}

local ALTERNATIVES = 256 -- patterns that braces may stand for

local CHARACTER = "^[\0-\x7F\xC2-\xF4][\x80-\xBF]*"

--- What stands between braces, split at its commas.
local function split(inside)
  local list, depth, from = {}, 0, 1
  for i = 1, #inside do
    local c = inside:sub(i, i)
    if c == "{" then depth = depth + 1 elseif c == "}" then depth = depth - 1 end
    if c == "," and depth == 0 then
      table.insert(list, inside:sub(from, i - 1))
      from = i + 1
    end
  end
  table.insert(list, inside:sub(from))
  return list
end

--- The patterns that a pattern with braces stands for; nil when they are too many.
local function expand(pattern, into)
  local from, to = pattern:find "%b{}"
  if not from then
    table.insert(into, pattern)
    return #into <= ALTERNATIVES
  end
  for _, choice in ipairs(split(pattern:sub(from + 1, to - 1))) do
    if not expand(pattern:sub(1, from - 1) .. choice .. pattern:sub(to + 1), into) then return false end
  end
  return true
end

--- What a character is compared by; a byte that is not UTF-8 stands for itself.
local function code_of(character) return utf8.len(character) and utf8.codepoint(character) or character:byte() end

--- A set as ranges { from, to } with `negated`, and where it ends; nil when it is not closed.
local function read_set(part, at)
  local negated, inside, after = part:match("^%[(!?)(%]?[^%]]*)%]()", at)
  if not inside then return nil end
  local set, codes, i = { negated = negated == "!" }, {}, 1
  while i <= #inside do
    local character = inside:match(CHARACTER, i) or inside:sub(i, i)
    table.insert(codes, code_of(character))
    i = i + #character
  end
  i = 1
  while codes[i] do
    local is_range = codes[i + 1] == 45 and codes[i + 2] -- a '-' between two
    table.insert(set, { codes[i], is_range and codes[i + 2] or codes[i] })
    i = i + (is_range and 3 or 1)
  end
  return set, after
end

local function is_in(set, code)
  for _, range in ipairs(set) do
    if code >= range[1] and code <= range[2] then return not set.negated end
  end
  return set.negated
end

--- One part of a path as a list of tokens: "*", { one = true }, { set = ranges }, { text = character }.
local function compile_part(part)
  if part == "**" then return "**" end
  local tokens, at = {}, 1
  while at <= #part do
    local c, set, after = part:sub(at, at), nil, nil
    if c == "[" then set, after = read_set(part, at) end
    if set then
      table.insert(tokens, { set = set })
      at = after
    elseif c == "*" then
      if tokens[#tokens] ~= "*" then table.insert(tokens, "*") end
      at = at + 1
    else
      local character = part:match(CHARACTER, at) or c
      table.insert(tokens, c == "?" and { one = true } or { text = character })
      at = at + #character
    end
  end
  return tokens
end

local function fits(token, character)
  if token.one then return true end
  if token.set then return is_in(token.set, code_of(character)) end
  return token.text == character
end

local function match_part(tokens, name)
  local at, token, star, retry = 1, 1, nil, nil
  while at <= #name do
    local character = name:match(CHARACTER, at) or name:sub(at, at)
    local now = tokens[token]
    if now == "*" then
      star, retry = token, at
      token = token + 1
    elseif now and fits(now, character) then
      at, token = at + #character, token + 1
    elseif star then
      retry = retry + #(name:match(CHARACTER, retry) or " ")
      at, token = retry, star + 1
    else
      return false
    end
  end
  while tokens[token] == "*" do token = token + 1 end
  return token > #tokens
end

--- As match_part, over the parts of a path: `**` is its star.
local function match_path(parts, names)
  local at, part, star, retry = 1, 1, nil, nil
  while at <= #names do
    local now = parts[part]
    if now == "**" then
      star, retry = part, at
      part = part + 1
    elseif now and match_part(now, names[at]) then
      at, part = at + 1, part + 1
    elseif star then
      retry = retry + 1
      at, part = retry, star + 1
    else
      return false
    end
  end
  while parts[part] == "**" do part = part + 1 end
  return part > #parts
end

local function path_parts(path)
  local parts = {}
  for part in path:gmatch "[^/]+" do table.insert(parts, part) end
  return parts
end

local function compile_one(pattern)
  local parts = {}
  for i, part in ipairs(path_parts(pattern)) do parts[i] = compile_part(part) end
  return parts
end

--- Compiles a pattern.
---@param pattern string such as "*.md", "docs/**/*.{md,txt}"
---@return (fun(path: string): boolean)? matches for relative paths with slashes
---@return string? message
---@return string? code `invalid` or `limit`
function M.compile(pattern)
  if pattern == "" then return nil, "a file name pattern is empty; '*' matches every name", "invalid" end
  local patterns, compiled = {}, {}
  if not expand(pattern, patterns) then
    return nil, ("pattern '%s': its braces stand for more than %d patterns"):format(pattern, ALTERNATIVES), "limit"
  end
  for i, one in ipairs(patterns) do
    compiled[i] = { whole = one:find("/", 1, true) ~= nil, parts = compile_one(one) }
  end
  return function(path)
    local names = path_parts(path)
    local last = { names[#names] }
    for _, one in ipairs(compiled) do
      if match_path(one.parts, one.whole and names or last) then return true end
    end
    return false
  end
end

return M
