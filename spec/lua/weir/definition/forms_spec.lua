-- Pipelines in Lua and in YAML do the same; and the pipelines of the guide load, print, and read back equal. Each field is
-- tried in fields_spec.lua.

local build = require "weir.definition.build"
local check = require "weir.definition.check"
local definition = require "weir.definition.load"
local fields = dofile "spec/lua/weir/definition/fields.lua"
local json = require "weir.native.json"
local printer = require "weir.definition.print"
local testing = require "weir.testing"
local value_of = require "weir.value"

-- Whatever a pair names, so that the pairs can be run.
local AGENTS = {}
for name in ("combine counter writer tune x y"):gmatch "%S+" do AGENTS[name] = function(_, input) return { of = input } end end

local function told(errors)
  local lines = {}
  for index, entry in ipairs(errors or {}) do lines[index] = check.format(entry) end
  return table.concat(lines, "\n")
end

local function load_text(file, text)
  local loaded, errors = definition.load(file, { text = text })
  assert.truthy(loaded, told(errors) .. "\n" .. text)
  return loaded
end

local function round_trips(loaded, what)
  for _, format in ipairs { "yaml", "json" } do
    local text = printer.print(loaded.normal, format)
    local again = load_text("p." .. format, text)
    assert.is_true(value_of.equal(loaded.normal, again.normal), what .. " as " .. format .. "\n" .. text)
    assert.equal(loaded.version, again.version, what)
    assert.equal(text, printer.print(again.normal, format), what)
  end
end

describe("Lua and YAML", function()
  -- What is not run by this version, or names something that is not there, is refused alike.
  it("give equal results, or are refused alike", function()
    local ran = 0
    for _, row in ipairs(fields.rows()) do
      local field, outcomes = row.def .. "." .. row.field, {}
      local lua, yaml = fields.alone(row)
      for index, file in ipairs { { "p.lua", 'local weir = require "weir"\n' .. lua }, { "p.yaml", yaml } } do
        local ok, run = pcall(testing.run_text, file[1], file[2], { input = { path = "x", list = json.list { 1, 2 } }, agents = AGENTS })
        outcomes[index] = ok and { run.status, run.output, run.error and run.error.message } or { "refused", tostring(run):gsub("p%.%a+:%d+", "p") }
        if ok and index == 1 then ran = ran + 1 end
      end
      assert.same(outcomes[1], outcomes[2], field)
    end
    assert.is_true(ran > 60, ran)
  end)
end)

local GUIDE = {
  review = [[
local weir = require "weir"

return weir.pipeline "review" {
  input = { path = "string", words = "integer = 300" },
  weir.step "read" { agent = "files", options = { mode = "read" }, input = { path = "$.input.path" } },
  weir.group "draft" {
    weir.step "write" { agent = "summarize", input = { text = "$.read.text", words = "$.input.words" }, stream = true,
                        timeout = "2m", retry = { attempts = 3 },
                        critic = { use = "rubric", options = { min_words = 80 }, attempts = 3, otherwise = "escalate" } },
    weir.step "count" { agent = "counter", from = "write" },
    branch = { on = "count", cases = { short = "draft" }, default = "release", max_visits = 4 },
  },
  weir.approval "release" { title = "Publish?", show = "$.write", timeout = "7d", on_timeout = "reject" },
  output = "$.write.text",
}
]],
  parts = [[
local weir = require "weir"

return weir.pipeline "parts" {
  weir.step "list" { agent = "files", options = { mode = "list" } },
  weir.map "parts" { over = "$.list.files", concurrency = 8, tolerate = "5%",
    weir.step "text"  { agent = "files", options = { mode = "read" }, input = { path = "$.item" } },
    weir.step "short" { agent = "summarize", input = { text = "$.text.text" } },
    reduce = { agent = "combine", mode = "tree", arity = 16 } },
  weir.speculate "best" { judge = "coverage",
    weir.step "textrank" { agent = "summarize", options = { method = "textrank" }, input = "$.input" },
    weir.step "two_steps" {
      weir.step "cut" { agent = "chunk", input = "$.input" },
      weir.step "lexrank" { agent = "summarize", options = { method = "lexrank" }, input = "$.cut" } } },
}
]],
}

describe("the pipelines of the guide", function()
  for name, text in pairs(GUIDE) do
    it("load, print and read back equal: " .. name, function()
      round_trips(load_text(name .. ".lua", text), name)
    end)
  end

  it("load as a flow", function()
    local flow = load_text("publish.lua", [[
local weir = require "weir"
return weir.flow "publish" {
  input = { path = "string" },
  function(run, input)
    local list = run:step "list" { agent = "files", options = { mode = "list" }, input = { path = input.path } }
    local parts = run:map "parts" { over = list.files, concurrency = 8, function(run, item, index)
      local text = run:step "text" { agent = "files", options = { mode = "read" }, input = { path = item } }
      return run:step "short" { agent = "summarize", input = { text = text.text } }
    end }
    return parts
  end,
}
]])
    assert.equal("flow", flow.kind)
    assert.is_function(flow.body)
    assert.is_nil(flow.normal.groups)
  end)

  it("print in a form that people can read", function()
    assert.equal([[
weir: 1
name: hello
groups:
  - name: greet
    steps:
      - name: greet
        agent: echo
        input:
          text: Hello ${input.name}
output: $.greet
]], printer.print(load_text("hello.yaml",
      "name: hello\noutput: $.greet\ngroups:\n- {agent: echo, name: greet, input: {text: 'Hello ${input.name}'}}\n").normal, "yaml"))
  end)
end)

describe("printing", function()
  local STRINGS = {
    "", " ", "a", "yes", "No", "on", "~", "null", "true", "1", "1.5", "0x1f", "1e3", "-", "- a", "a: b", "a #b", "#a", "a:", "*a", "&a",
    "!a", "%a", "@a", "`a", "|", ">", "'a'", '"a"', "a\"b", "\\", "a\nb", "a\nb\n", "a\n\nb\n\n", "\na", " a\nb", "a\n  b\n c", "a\n \nb", "a\n ",
    "\t", "a\tb", "\r\n", "\u{85}", "\u{a0}", "\u{2028}", "\u{feff}a", "\u{1f600}", "h\u{e9}llo", "\27[0m", "\127", "2020-01-01", "12:30",
    "[a]", "{a}", "a, b", "a]", "a}", "$.a.b[0] == 'x' && !$.c", "${a}", "a ", "?", "? a", "=", "<<", ".", "..", ".inf", ".nan", "a  b",
    ("long "):rep(60), "a\n---\nb", "---", "...", "a\n...\n", "\u{fffd}", "%", "key: [a, b]", "a\u{2029}b\nc",
  }

  it("writes any text so that it reads back equal, as value and as key", function()
    for _, text in ipairs(STRINGS) do
      local options = { value = text, list = json.list { text, { x = text } }, [text ~= "" and text or "e"] = 1 }
      local loaded = assert(definition.value(build.pipeline "p" { build.step "a" { agent = "echo", options = options } }))
      round_trips(loaded, ("%q"):format(text))
    end
  end)

  it("writes numbers, null and empty tables so that they read back equal", function()
    local options = {
      a = 1, b = 1.0, c = 1e300, d = -0.1, e = math.maxinteger, f = math.mininteger, g = json.null, h = json.list {}, i = {},
      j = json.list { json.list {}, {}, json.null, json.list { json.list { 1 } } }, k = true, l = false, m = 0.1 + 0.2,
    }
    local loaded = assert(definition.value(build.pipeline "p" { build.step "a" { agent = "echo", options = options } }))
    round_trips(loaded, "numbers")
    local again = load_text("p.yaml", printer.print(loaded.normal, "yaml")).normal.groups[1].steps[1].options
    assert.equal("float", math.type(again.b))
    assert.equal("integer", math.type(again.a))
  end)

  it("quotes what older readers of YAML take for something else", function()
    local options = { a = "yes", b = "off", c = "2020-01-01", d = "~", e = "plain words", f = "1.2.3" }
    local loaded = assert(definition.value(build.pipeline "p" { build.step "a" { agent = "echo", options = options } }))
    local text = printer.print(loaded.normal, "yaml")
    for _, line in ipairs { 'a: "yes"', 'b: "off"', 'c: "2020-01-01"', 'd: "~"', "e: plain words", "f: 1.2.3" } do
      assert.truthy(text:find(line .. "\n", 1, true), line)
    end
  end)

  it("refuses another format", function()
    assert.has_error(function() printer.print({}, "toml") end)
  end)
end)
