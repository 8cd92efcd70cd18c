--- What a plan is to reach: a text for people and models, what is wanted by name, and what is given. A goal is written as a
--- text, or as {text, want}; what is given is the input of the step that plans. Pure; never yields.

local failure = require "weir.failure"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local schema = require "weir.schema"
local types = require "weir.planning.types"
local value_of = require "weir.value"

local M = {}

---@class weir.Goal
---@field text string                 "" when there is none
---@field want table<string, table>   JSON Schemas of what the plan has to give, by name
---@field given table<string, any>    what there is, by name
---@field has table<string, table>    JSON Schemas of that
---@field signature string            SHA-256 of what is wanted and of what kinds of things are given
---@field subject string              SHA-256 of that, of the text and of the values

local FIELDS = { text = true, want = true }

-- want: "report", {"report", "table"}, {report = "string"}.
local function wanted(want)
  if want == nil then return {} end
  local names = type(want) == "string" and { want } or json.is_list(want) and want or nil
  if not names then
    local object, message = schema.object(want)
    if not object then failure.raise("invalid", "goal: want: %s", message) end
    return object.properties or {}
  end
  local found = {}
  for _, name in ipairs(names) do
    if type(name) ~= "string" then failure.raise("invalid", "goal: want: names expected, got %s", value_of.show(name)) end
    found[name] = {}
  end
  return found
end

local function parts_of(written)
  if type(written) == "string" then return { text = written } end
  if type(written) ~= "table" or json.is_list(written) or written == json.null then
    failure.raise("invalid", "a goal is a text, or {text, want}; got %s", value_of.show(written))
  end
  for name in pairs(written) do
    if not FIELDS[name] then failure.raise("invalid", "goal: '%s' is unknown; known here: text, want", tostring(name)) end
  end
  if written.text ~= nil and type(written.text) ~= "string" then
    failure.raise("invalid", "goal: text: a text expected, got %s", value_of.show(written.text))
  end
  return written
end

local function digest(value)
  return hash.sha256(assert(json.encode(value, { canonical = true })))
end

--- A goal of what was written and what is given. Raises `invalid`.
---@param written any
---@param given table
---@return weir.Goal
function M.of(written, given)
  local parts = parts_of(written)
  if type(given) ~= "table" or json.is_list(given) and next(given) ~= nil then
    failure.raise("invalid", "what a plan is given is the step's input, an object of names; got %s", value_of.show(given))
  end
  local self = { text = parts.text or "", want = wanted(parts.want), given = given, has = {} }
  if self.text == "" and next(self.want) == nil then failure.raise("invalid", "a goal says something: a text, or what is wanted") end
  for name, value in pairs(given) do self.has[name] = types.of_value(value) end
  self.signature = digest { want = self.want, has = self.has }
  self.subject = digest { signature = self.signature, text = self.text, given = given }
  return self
end

--- The schema of what the planned pipeline takes: what is given.
---@param goal weir.Goal
---@return table
function M.input_schema(goal)
  local required = json.list(value_of.names(goal.has))
  return { type = "object", properties = value_of.copy(goal.has), required = #required > 0 and required or nil,
    additionalProperties = false }
end

--- A goal in few words.
---@param goal { text: string, want: table }
---@return string
function M.show(goal)
  if goal.text ~= "" then return goal.text end
  return table.concat(value_of.names(goal.want), ", ")
end

return M
