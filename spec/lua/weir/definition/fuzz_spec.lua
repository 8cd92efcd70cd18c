-- Random texts for everything that reads what people or models write: nothing may raise or hang, a
-- refusal has a message and a code, and what is accepted can be used. The seed is fixed.

local check = require "weir.definition.check"
local condition = require "weir.condition"
local definition = require "weir.definition.load"
local json = require "weir.native.json"
local path = require "weir.path"
local printer = require "weir.definition.print"
local regex = require "weir.regex"
local schema = require "weir.schema"
local value_of = require "weir.value"
local yaml = require "weir.definition.yaml"

local SECONDS = 0.25 -- of processor time for each reader
local LEAST = 30     -- texts for each reader, however slow the machine

local seed = 20261123

-- xorshift (Marsaglia, "Xorshift RNGs", 2003), so that the texts are the same everywhere.
local function random(limit)
  seed = seed ~ (seed << 13)
  seed = seed ~ (seed >> 7)
  seed = seed ~ (seed << 17)
  return (seed >> 1) % limit + 1
end

local function pick(list)
  return list[random(#list)]
end

local function tokens(list, most)
  local parts = {}
  for index = 1, random(most) do parts[index] = pick(list) end
  return table.concat(parts)
end

local function mutate(text)
  local bytes = { text:byte(1, -1) }
  for _ = 1, random(4) do
    local at, kind = random(#bytes + 1), random(4)
    if kind == 1 then
      table.insert(bytes, at, random(256) - 1)
    elseif kind == 2 and bytes[at] then
      table.remove(bytes, at)
    elseif kind == 3 then
      table.insert(bytes, at, pick { 32, 10, 58, 45, 91, 123, 34, 39, 36, 38, 42, 33 })
    elseif bytes[at] then
      bytes[at] = bytes[random(#bytes)]
    end
  end
  return string.char(table.unpack(bytes))
end

local function for_a_while(try)
  local stop, count = os.clock() + SECONDS, 0
  while count < LEAST or os.clock() < stop do
    try()
    count = count + 1
  end
end

local function refused_well(text, message, code)
  assert.is_string(message, ("%q"):format(text))
  assert.truthy(code == "invalid" or code == "limit", ("%q"):format(text))
end

local DATA = { a = { b = json.list { 1, "x", json.null, { c = true } }, d = "text" }, e = 0.5, f = json.list {}, g = {} }

local PATH = { "$", ".", "a", "b", "[", "]", "0", "-1", "*", "'", '"', "\\", "?", "..", "[*]", ".a", ".b", "[0]", "['a']", " ", "\u{e9}", "\xff", "u0041" }
local CONDITION = {
  "$", "$.a", "$.e", "$.a.b[0]", "$.a.b[*]", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "!", "(", ")", ",", "length(", "count(", "match(",
  "search(", "value(", "'x'", '"y"', "1", "-0.5", "1e3", "true", "null", " ", "'[a-z]+'", "@", "?", "\xff",
}
local REGEX = { "a", "b", ".", "*", "+", "?", "{2}", "{1,3}", "{0,}", "(", ")", "(?:", "|", "[", "]", "[^a]", "a-z", "^", "$", "\\d", "\\b", "\\", "\u{e9}", "{" }

describe("random texts", function()
  it("as paths", function()
    for_a_while(function()
      local text = tokens(PATH, 10)
      local compiled, message, code = path.compile(text)
      if compiled then
        local value, missing, why = compiled(DATA)
        assert.is_true(value ~= nil or compiled.optional or (type(missing) == "string" and why == "not_found"))
      else
        refused_well(text, message, code)
      end
    end)
  end)

  it("as values with paths in them", function()
    for_a_while(function()
      local text = tokens({ "${", "}", "$", "$$", "a", ".b", "a.b", "e", "?", " ", "[0]", "'", "\\" }, 10)
      local evaluate, message, code = path.compile_value { text }
      if not evaluate then return refused_well(text, message, code) end
      local value, missing, why = evaluate(DATA)
      assert.is_true(value ~= nil or (type(missing) == "string" and why == "not_found"))
    end)
  end)

  it("as conditions", function()
    for_a_while(function()
      local text = tokens(CONDITION, 12)
      local compiled, message, code, where = condition.compile(text)
      if compiled then
        assert.equal("boolean", type(compiled(DATA)), text)
      else
        refused_well(text, message, code)
        assert.is_true(where.column >= 1 and where.column <= #text + 2, text .. " " .. where.column)
      end
    end)
  end)

  it("as patterns", function()
    for_a_while(function()
      local text = tokens(REGEX, 12)
      local compiled, message, code = regex.compile(text)
      if not compiled then return refused_well(text, message, code) end
      local subject = tokens({ "a", "b", "ab", "\u{e9}", " ", "1" }, 20)
      if compiled:match(subject) then assert.is_true(compiled:search(subject), text) end
    end)
  end)

  it("as YAML", function()
    local pieces = {
      "a", ":", " ", "\n", "- ", "  ", "[", "]", "{", "}", ",", "&x ", "*x", "!t ", "'", '"', "|", ">", "#", "? ", "---\n", "...\n", "\t", "1", "~", "<<",
      "true", "\\0", "\u{e9}", "\xff", "%YAML 1.1\n", "key: value\n",
    }
    for_a_while(function()
      local text = tokens(pieces, 20)
      local value, message, code = yaml.decode(text, "x.yaml")
      if value == nil then return refused_well(text, message, code) end
      assert.truthy(json.encode(value), text)
    end)
  end)

  it("as short forms and schemas", function()
    local words = { "string", "integer", "any", "[]", "?", "=", " ", "3", '"a"', "[", "null", "{}" }
    for_a_while(function()
      local text = tokens(words, 6)
      local written, message, code = schema.shorthand(text)
      if not written then return refused_well(text, message, code) end
      assert.truthy(schema.compile(written), text)
    end)
  end)
end)

local SEEDS = {
  [[
name: review
input: {path: string, words: integer = 300}
groups:
  - {name: read, agent: files, input: {path: $.input.path}}
  - name: draft
    steps:
      - {name: write, agent: summarize, input: {text: '${read.text}'}, stream: true, timeout: 2m, critic: {use: rubric, attempts: 3}}
      - {name: count, agent: counter, from: write}
    branch: {on: count, cases: {short: draft}, default: release, max_visits: 4}
  - {name: release, approval: {title: 'Publish?', show: $.write}, timeout: 7d}
output: $.write.text
]],
  [[
name: parts
on: [{files: {path: docs}, filter: $.event.x == 1}]
groups:
  - name: parts
    map: {over: $.input.files, tolerate: 5%, each: {name: text, agent: files, input: $.item}, reduce: {agent: combine, mode: tree}}
  - {name: best, speculate: {judge: coverage, branches: [{name: x, agent: echo}, {name: y, groups: [{name: z, agent: echo}], output: $.z}]}}
  - {name: w, wait: {any: [{signal: go}, {event: x, match: $.event.a > 1}]}}
  - {name: p, plan: {goal: g, agents: [echo], limits: {steps: 3}}}
]],
}

describe("random changes of a definition", function()
  it("are refused with errors, or give a normal form that reads back equal", function()
    local accepted = 0
    for_a_while(function()
      local text = mutate(pick(SEEDS))
      local loaded, errors = definition.load("x.yaml", { text = text })
      if loaded then
        accepted = accepted + 1
        local again, refusals = definition.load("x.yaml", { text = printer.print(loaded.normal, "yaml") })
        if not again then error(("%s, of %q"):format(refusals[1].message, text)) end
        if not value_of.equal(loaded.normal, again.normal) then error(("another normal form, of %q"):format(text)) end
      else
        assert.is_true(#errors >= 1, text)
        for _, entry in ipairs(errors) do assert.is_string(check.format(entry)) end
      end
    end)
    assert.is_true(accepted > 0)
  end)

  it("as values in any place raise nothing", function()
    local odd = { json.null, 0, -1, 1.5, true, "", "x", "$.", json.list {}, {}, json.list { {} }, { a = 1 }, json.list { "x", 3 } }
    local function places(value, found)
      for key, inner in pairs(value) do
        found[#found + 1] = { value, key }
        if type(inner) == "table" then places(inner, found) end
      end
      return found
    end
    for_a_while(function()
      local data = assert(yaml.decode(pick(SEEDS)))
      local place = pick(places(data, {}))
      place[1][place[2]] = value_of.copy(pick(odd))
      local loaded, errors = definition.value(data)
      assert.is_true(loaded ~= nil or #errors >= 1)
    end)
  end)
end)
