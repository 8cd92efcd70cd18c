--- What a skill says of itself: a JSON file, `skill.json`, that names its source by content hash, what it needs and gives, what
--- it wants to be granted, and tests. The hash of a skill is that of its manifest in canonical JSON; since that has the hash of the
--- source in it, one hash stands for all of it. Pure.

local hash = require "weir.native.hash"
local json = require "weir.native.json"
local schema = require "weir.schema"
local value_of = require "weir.value"

local M = {}

M.bytes = 64 << 10 -- of a manifest

local NAME = { type = "string", pattern = "^[a-z][a-z0-9_]{0,63}$" }
local TEXTS = { type = "array", maxItems = 64, items = { type = "string", minLength = 1, maxLength = 200 } }
local HOST = "^(\\*\\.)?[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?$"
local SHORT = { type = "object", maxProperties = 64 }

local GRANTS = { type = "object", additionalProperties = false, properties = {
  files = { type = "object", additionalProperties = false, required = { "read" }, properties = { read = TEXTS } },
  http = { type = "object", additionalProperties = false, required = { "hosts" }, properties = {
    hosts = { type = "array", minItems = 1, maxItems = 16, items = { type = "string", pattern = HOST } },
    methods = { type = "array", minItems = 1, items = { enum = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" } } },
    addresses = { enum = { "public", "loopback" } } } },
  chat = { type = "object", additionalProperties = false, required = { "calls" }, properties = {
    calls = { type = "integer", minimum = 1, maximum = 100 } } },
  tools = { type = "array", minItems = 1, maxItems = 16, items = { type = "string", minLength = 1, maxLength = 200 } },
  clock = { const = true } } }

local TEST = { type = "object", additionalProperties = false, required = { "name" }, properties = {
  name = { type = "string", minLength = 1, maxLength = 200 }, input = {}, output = {}, options = SHORT,
  error = { type = "string" }, where = { type = "string" },
  answers = { type = "object", additionalProperties = { type = "array" } } } }

local SCHEMA = { type = "object", additionalProperties = false,
  required = { "weir_skill", "name", "version", "description", "author", "source" }, properties = {
    weir_skill = { const = 1 }, name = NAME, version = { type = "string", pattern = "^[0-9]{1,6}\\.[0-9]{1,6}\\.[0-9]{1,6}$" },
    description = { type = "string", minLength = 8, maxLength = 2000 }, author = { type = "string", minLength = 1, maxLength = 200 },
    tags = TEXTS, needs = SHORT, gives = SHORT, options = SHORT, grants = GRANTS,
    limits = { type = "object", additionalProperties = false, properties = {
      seconds = { type = "number", exclusiveMinimum = 0, maximum = 300 }, cpu_seconds = { type = "integer", minimum = 1, maximum = 60 },
      memory_mb = { type = "integer", minimum = 32, maximum = 1024 }, calls = { type = "integer", minimum = 0, maximum = 1000 } } },
    source = { type = "object", additionalProperties = false, required = { "file", "sha256" }, properties = {
      file = { type = "string", pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\\.lua$" },
      sha256 = { type = "string", pattern = "^[0-9a-f]{64}$" } } },
    tests = { type = "array", maxItems = 100, items = TEST },
    signature = { type = "object", additionalProperties = false, required = { "key", "value" }, properties = {
      key = { type = "string", minLength = 1, maxLength = 100 }, value = { type = "string", minLength = 1, maxLength = 200 } } } } }

---@class weir.SkillManifest see docs/skills.md
---@field name string
---@field version string   three numbers
---@field description string
---@field author string
---@field tags string[]|nil
---@field needs table|nil  as a module's
---@field gives table|nil
---@field options table|nil
---@field grants table|nil  what it wants: files, http, chat, tools, clock
---@field limits table|nil
---@field source { file: string, sha256: string }
---@field tests table[]|nil
---@field signature { key: string, value: string }|nil

local validate

local function refuse(where, message, ...)
  return nil, ("%s: %s"):format(where, message:format(...)), "invalid"
end

local function check_shapes(where, manifest)
  for _, field in ipairs { "needs", "gives", "options" } do
    if manifest[field] then
      local whole, message = schema.object(manifest[field])
      if not whole then return refuse(where, "%s: %s", field, message) end
      local compiled, why = schema.compile(whole)
      if not compiled then return refuse(where, "%s: %s", field, why) end
    end
  end
  return true
end

-- A test that expects nothing passes whatever happens.
local function check_tests(where, manifest)
  local names = {}
  for index, test in ipairs(manifest.tests or {}) do
    local expects = (test.output ~= nil and 1 or 0) + (test.error and 1 or 0) + (test.where and 1 or 0)
    if expects ~= 1 then return refuse(where, "tests[%d] must have one of output, error and where", index - 1) end
    if names[test.name] then return refuse(where, "two tests are called '%s'", test.name) end
    names[test.name] = true
    if test.where then
      local compiled, message = require("weir.condition").compile(test.where)
      if not compiled then return refuse(where, "tests[%d]: %s", index - 1, message) end
    end
  end
  return true
end

--- Checks a manifest that was read. Does not wait.
---@param value any
---@param where string for messages
---@return weir.SkillManifest?
---@return string? message every fault
---@return string? code `invalid`
function M.check(value, where)
  validate = validate or assert(schema.compile(SCHEMA, { trusted = true }))
  local fits, errors = validate(value, "")
  if not fits then
    local messages = {}
    for index, err in ipairs(errors) do messages[index] = err.message end
    return refuse(where, "%s", table.concat(messages, "; "))
  end
  for _, check in ipairs { check_shapes, check_tests } do
    local ok, message, code = check(where, value)
    if not ok then return nil, message, code end
  end
  return value
end

--- Reads a manifest. Does not wait.
---@param text string
---@param where string for messages
---@return weir.SkillManifest?
---@return string? message
---@return string? code `invalid`, `limit`
function M.parse(text, where)
  if #text > M.bytes then return nil, ("%s: a manifest of %d bytes; %d is the most"):format(where, #text, M.bytes), "limit" end
  local value, message = json.decode(text)
  if value == nil then return refuse(where, "%s", message) end
  return M.check(value, where)
end

--- A manifest as one text, always the same for the same manifest.
---@param manifest weir.SkillManifest
---@return string
function M.canonical(manifest)
  return assert(json.encode(manifest, { canonical = true }))
end

--- The hash that stands for a skill: 64 hexadecimal digits.
---@param manifest weir.SkillManifest
---@return string
function M.hash(manifest)
  return hash.sha256(M.canonical(manifest))
end

--- What a signature is made over: the manifest without it.
---@param manifest weir.SkillManifest
---@return string
function M.signed_text(manifest)
  local bare = {}
  for name, field in pairs(manifest) do
    if name ~= "signature" then bare[name] = field end
  end
  return M.canonical(bare)
end

--- Order of two versions: below, at or above 0.
---@param a string such as "1.10.0"
---@param b string
---@return integer
function M.compare(a, b)
  local a1, a2, a3 = a:match "(%d+)%.(%d+)%.(%d+)"
  local b1, b2, b3 = b:match "(%d+)%.(%d+)%.(%d+)"
  for _, pair in ipairs { { a1, b1 }, { a2, b2 }, { a3, b3 } } do
    local left, right = tonumber(pair[1]), tonumber(pair[2])
    if left ~= right then return left < right and -1 or 1 end
  end
  return 0
end

-- Privileges ------------------------------------------------------------------------------------------

local function add_http(list, http)
  for _, host in ipairs(http.hosts) do
    for _, method in ipairs(http.methods or { "GET" }) do
      list[#list + 1] = ("ask %s by HTTP, with %s%s"):format(host, method, http.addresses == "loopback" and ", on this machine" or "")
    end
  end
end

--- What a skill wants to be let do, as sentences for a person, sorted; an equal privilege is an equal sentence.
---@param grants table|nil of a manifest
---@return string[]
function M.privileges(grants)
  local list = json.list {}
  grants = grants or {}
  for _, glob in ipairs(grants.files and grants.files.read or {}) do
    list[#list + 1] = ("read files of the project that match %s"):format(glob)
  end
  if grants.http then add_http(list, grants.http) end
  if grants.chat then list[#list + 1] = ("ask a model, up to %d times a call"):format(grants.chat.calls) end
  for _, tool in ipairs(grants.tools or {}) do list[#list + 1] = ("use the tool %s"):format(tool) end
  if grants.clock then list[#list + 1] = "know what time it is" end
  table.sort(list)
  return list
end

--- Those privileges that were not given yet.
---@param wanted string[]
---@param given string[]|nil
---@return string[]
function M.added(wanted, given)
  local has, list = {}, json.list {}
  for _, one in ipairs(given or {}) do has[one] = true end
  for _, one in ipairs(wanted) do
    if not has[one] then list[#list + 1] = one end
  end
  return list
end

-- What it gives ---------------------------------------------------------------------------------------

--- A function that says what is wrong with an output, or nil.
---@param manifest weir.SkillManifest
---@return fun(output: any): string|nil
function M.gives(manifest)
  if not manifest.gives then return function() end end
  local check = assert(schema.compile(assert(schema.object(manifest.gives))))
  return function(output)
    local fits, errors = check(output, "output")
    if fits then return nil end
    return errors[1].message
  end
end

-- What it is about ------------------------------------------------------------------------------------

--- The words by which a skill is found, with how much each says.
---@param about table a manifest, or what an index says of it
---@return table<string, number>
function M.words(about)
  local tokens = require "weir.text.tokens"
  local weights = {}
  local function add(text, weight)
    for _, word in ipairs(tokens.terms((text:gsub("_", " ")))) do weights[word] = math.max(weights[word] or 0, weight) end
  end
  add(about.name or "", 3)
  for _, tag in ipairs(about.tags or {}) do add(tag, 2) end
  add(about.description or "", 1)
  for _, shape in ipairs { about.needs or {}, about.gives or {} } do
    for _, name in ipairs(value_of.names(shape)) do add(name, 1) end
  end
  return weights
end

return M
