--- What tells failures apart that are not the same, and calls those the same that are: a name for an error that does not change
--- with the run, the file or the number in its message. Two names: the family is what went wrong and where, the fingerprint is the
--- family in one version of the module, so that "fixed in the next version" closes a fingerprint and a new one of the same family
--- says that it was not. Pure.

local hash = require "weir.native.hash"

local M = {}

local LENGTH = 12 -- of a name; among 10,000 classes of errors two meet once in 5,000,000 projects
local TEXT_MAX = 300

-- From the most particular to the least: what was replaced is not looked at again.
local VARIABLE = {
  { "'[^'\n]*'", "'*'" }, { '"[^"\n]*"', '"*"' },                      -- values
  { "%f[%w][rasiqeu]_[%l%d][%l%d]+%f[^%w_]", "<id>" },                  -- ids of weir
  { "%x%x%x%x%x%x%x%x%-%x+%-%x+%-%x+%-%x+", "<id>" },                   -- UUIDs
  { "0x%x+", "<id>" },
  { "%a+://%S+", "<url>" },
  { "/[%w%._%-]+/[%w%._/%-]*", "<path>" },
}

-- A word of hexadecimal digits that is long and has a digit is a hash.
local function without_hashes(text)
  return (text:gsub("%f[%w]%x+%f[^%w]", function(word)
    if #word >= 8 and word:find "%d" then return "<id>" end
  end))
end

--- A message without what is of one case only: quoted values, ids, hashes, paths and numbers.
---@param message string
---@return string of one line, at most 300 bytes
function M.normalise(message)
  local text = tostring(message):match "^[^\n]*"
  for _, pair in ipairs(VARIABLE) do text = text:gsub(pair[1], pair[2]) end
  text = without_hashes(text):gsub("%d+%.?%d*", "#"):gsub("%s+", " ")
  return text:sub(1, TEXT_MAX)
end

-- Where a step stands in its definition, whichever visit or item it was.
local function place_of(step)
  return ((step or ""):gsub("%[%d+%]", "[]"):gsub("#%d+", ""))
end

local function name_of(...)
  return hash.sha256(table.concat({ ... }, "\0")):sub(1, LENGTH)
end

--- The names of a failure.
---@param err { code: string, message: string }
---@param place { pipeline: string|nil, step: string|nil, agent: string|nil, version: string|nil } step: its key in the journal;
---   agent, version: the module that did its work
---@return string fingerprint 12 characters
---@return string family 12 characters: the same for every version of the module
---@return string text the message without what is of one case only
function M.of(err, place)
  local text = M.normalise(err.message)
  local family = name_of(place.pipeline or "", place_of(place.step), place.agent or "", err.code, text)
  return name_of(family, place.version or ""), family, text
end

return M
