--- Reads docstrings (LuaLS annotations) out of Lua sources, without running them. `.ci/reference` makes pages
--- of them; a spec compares those of lua/meta/ with what the native modules export.

local M = {}

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

M.read = read

-- Docstrings -----------------------------------------------------------------------------------------

-- The type at the start of a tag's text: up to a blank that stands outside of every bracket and does not
-- follow or precede what joins two types.
local function split_type(text)
  local depth, at = 0, 1
  while at <= #text do
    local char = text:sub(at, at)
    if char:find "[%(%[{<]" then depth = depth + 1
    elseif char:find "[%)%]}>]" then depth = depth - 1
    elseif char == '"' then at = text:find('"', at + 1, true) or #text
    elseif char:find "%s" and depth == 0 then
      local is_joined = text:sub(1, at):find "[|:,]%s*$" or text:find("^%s+|", at)
      if not is_joined then break end
    end
    at = at + 1
  end
  return text:sub(1, at - 1), (text:sub(at):gsub("^%s+", ""))
end

local PARSE = {}

function PARSE.param(doc, text)
  local name, rest = text:match "^(%S+)%s+(.*)$"
  local kind, words = split_type(rest or "any")
  doc.params[#doc.params + 1] = { name = name or text, type = kind, words = words }
end

PARSE["return"] = function(doc, text)
  local kind, words = split_type(text)
  doc.returns[#doc.returns + 1] = { type = kind, words = words }
end

function PARSE.field(doc, text)
  local name, rest = text:match "^(%S+)%s+(.*)$"
  local kind, words = split_type(rest or "any")
  doc.fields[#doc.fields + 1] = { name = name or text, type = kind, words = words }
end

function PARSE.class(doc, text)
  doc.class, doc.class_words = text:match "^([%w_.]+)%s*:?%s*(.*)$"
end

function PARSE.alias(doc, text)
  doc.alias = text
end

-- A docstring's lines as {prose, params, returns, fields, class, alias}; what is no annotation and follows
-- one goes on with it.
local function parse_doc(lines)
  local doc = { prose = {}, params = {}, returns = {}, fields = {} }
  local tags = {}
  for _, line in ipairs(lines) do
    local tag, text = line:match "^@(%w+)%s*(.*)$"
    if tag then
      tags[#tags + 1] = { name = tag, text = text }
    elseif #tags > 0 then
      tags[#tags].text = tags[#tags].text .. " " .. line:gsub("^%s+", "")
    else
      doc.prose[#doc.prose + 1] = line:gsub("^ ", "", 1)
    end
  end
  for _, tag in ipairs(tags) do
    if PARSE[tag.name] then PARSE[tag.name](doc, tag.text) end
  end
  return doc
end

-- Sources --------------------------------------------------------------------------------------------

-- What a line of code declares: the owner ("M", a class's variable) and the name.
local function declared(line)
  local owner, mark, name, parameters = line:match "^function ([%w_]+)([.:])([%w_]+)%((.-)%)"
  if owner then return { owner = owner, name = name, parameters = parameters, is_method = mark == ":" } end
  owner, name, parameters = line:match "^([%w_]+)%.([%w_]+) = function%((.-)%)"
  if owner then return { owner = owner, name = name, parameters = parameters } end
  owner, name = line:match '^([%w_]+)%["([%w_]+)"%] = function'
  if owner then return { owner = owner, name = name, parameters = line:match "%((.-)%)" } end
  owner, name, mark = line:match "^([%w_]+)%.([%w_]+) = (.-),?$"
  if owner then return { owner = owner, name = name, value = mark } end
  name, mark = line:match "^  ([%w_]+) = (.-),?$"
  if name then return { name = name, value = mark, is_entry = true } end
end

---@class Source
---@field head table the file's own docstring
---@field items table[] what it declares, in order: {owner, name, parameters, doc, ...}
---@field classes table[] docs with `class`, in order
---@field aliases table[]
---@field requires table<string, string> variable to module

local cache = {}

-- One pass over a file's lines; `doc` is the docstring that has just ended.
local function scan(text)
  local source = { items = {}, classes = {}, aliases = {}, requires = {}, variable_class = {} }
  local lines, doc, shared, in_table, number = {}, nil, nil, false, 0
  local function take_doc(line)
    doc = parse_doc(lines)
    lines = {}
    if not source.head then source.head = number and doc end
    if doc.class then source.classes[#source.classes + 1] = doc end
    if doc.alias then source.aliases[#source.aliases + 1] = doc end
    local variable = line:match "^local ([%w_]+) = "
    if doc.class and variable then source.variable_class[variable] = doc.class end
  end
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    local comment = line:match "^%s*%-%-%-(.*)$"
    if comment then
      lines[#lines + 1] = comment
    else
      doc = nil
      if #lines > 0 then take_doc(line) end
      local variable, module = line:match '^local ([%w_]+) = require%(?%s*"([%w_.]+)"'
      if variable then source.requires[variable] = module end
      if line:find "^local M = {" then in_table = not line:find "}%s*$" end
      if line:find "^}" then in_table = false end
      local item = declared(line)
      if item and (not item.is_entry or in_table) then
        if item.is_entry then item.owner = "M" end
        item.doc = doc or (item.value and not item.is_entry and shared or nil)
        source.items[#source.items + 1] = item
        shared = item.value and item.doc or nil
      elseif line == "" or not item then
        shared = nil
      end
    end
  end
  return source
end

--- What a file declares and says of it; nil when there is no such file.
---@param path string
---@return Source|nil
function M.source(path)
  if cache[path] == nil then
    local text = read(path)
    cache[path] = text and scan(text) or false
  end
  return cache[path] or nil
end

local function file_of_module(name)
  local native = name:match "^weir%.native%.(.+)$"
  if native then return ("lua/meta/%s.lua"):format(native) end
  if name == "weir" then return "lua/weir/init.lua" end
  local inner = name:match "^weir%.(.+)$"
  if not inner then return nil end
  local path = "lua/weir/" .. inner:gsub("%.", "/")
  return read(path .. ".lua") and path .. ".lua" or path .. "/init.lua"
end

--- A declaration by its owner and name.
function M.find(source, owner, name)
  for _, item in ipairs(source.items) do
    if item.owner == owner and item.name == name then return item end
  end
end

--- `name = other.name` means what the other module says of it.
function M.resolve(source, item, depth)
  depth = depth or 1
  if not item.value or depth > 4 then return item end
  local variable, name = item.value:match "^([%w_]+)%.([%w_]+)$"
  local module = variable and source.requires[variable]
  local path = module and file_of_module(module)
  local other = path and M.source(path)
  local found = other and M.find(other, "M", name)
  if not found then return item end
  found = M.resolve(other, found, depth + 1)
  local says_more = not item.doc or found.doc and #found.doc.params + #found.doc.returns > 0
  local own = says_more and found.doc or item.doc
  return { owner = "M", name = item.name, parameters = found.parameters, doc = own, value = found.value }
end

return M
