local process = require "weir.port.process"
local support = dofile "spec/lua/weir/cli/support.lua"

local WILD = [[
local weir = require "weir"
return weir.pipeline "wild" {
  input = { list = "array" },
  weir.step "read" { agent = "echo", input = { text = "x" } },
  weir.group "draft" { join = { at_least = 1 },
    weir.step "write" { agent = "echo", stream = true },
    weir.step "count" { agent = "echo", from = "write", when = "$.read.text == 'a\"b <|> {x}'" },
    branch = { on = "count", cases = { short = "draft", stop = "end" }, default = "release", failed = "fix", max_visits = 4 },
  },
  weir.step "release" { agent = "echo" },
  weir.map "parts" { over = "$.input.list", weir.step "one" { agent = "echo" }, weir.step "two" { agent = "echo" },
    reduce = { agent = "combine", mode = "tree" } },
  weir.speculate "best" { weir.step "left" { agent = "echo" }, weir.step "deep" { weir.step "inner" { agent = "echo" } } },
  weir.step "fix" { agent = "echo" },
}
]]

local function has_dot()
  return process.run({ "dot", "-V" }, {}) ~= nil
end

local function svg_of(text)
  local result = assert(process.run({ "dot", "-Tsvg" }, { stdin = text, timeout = 30 }))
  assert.equal(0, result.status, result.stderr)
  assert.equal("", result.stderr)
  return result.stdout
end

describe("weir graph", function()
  local folder, wild
  setup(function()
    folder = support.folder()
    wild = support.write(folder, "pipelines/wild.lua", WILD)
  end)
  teardown(function() support.remove(folder) end)

  it("draws groups as boxes, steps in them, and arrows as a run goes", function()
    local status, out = support.run { "graph", wild }
    assert.equal(0, status)
    assert.matches('^%-%-%-\ntitle: "wild"\n%-%-%-\nflowchart TD\n', out)
    local draft = assert(out:match '  subgraph (n%d+)%["draft %(at least 1%)"%]')
    local write, count = assert(out:match '    (n%d+)%["write'), assert(out:match '    (n%d+)%["count')
    local release, fix = assert(out:match '(n%d+)%["release'), assert(out:match '(n%d+)%["fix')
    assert.matches(("%s ==> %s\n"):format(write, count), out)
    assert.matches(('%s -.->|"default"| %s\n'):format(draft, release), out, 1, true)
    assert.matches(('%s -.->|"failed"| %s\n'):format(draft, fix), out, 1, true)
    assert.matches(('%s -->|"short"| %s\n'):format(count, write), out, 1, true)
    assert.matches('subgraph n%d+%["parts: map"%].*"reduce<br/><small>combine</small>"', out)
    assert.matches('subgraph n%d+%["deep"%]%s+n%d+%["inner', out)
    assert.not_matches("class ", out)
  end)

  it("writes nothing that Mermaid would read as its own", function()
    local _, out = support.run { "graph", wild }
    for line in out:gmatch "[^\n]+" do
      local inside = line:match '%["(.*)"%]$'
      if inside then assert.not_matches('["|{]', (inside:gsub("#%w+;", ""):gsub("{x}", ""))) end
    end
    assert.matches("#quot;b #lt;#124;#gt;", out, 1, true)
  end)

  it("writes DOT that Graphviz draws, for every pipeline", function()
    if not has_dot() then return pending "dot is not installed" end
    for _, what in ipairs { wild, "hello", "digest", "pipelines/digest.yaml" } do
      local status, out = support.run { "graph", what, "--format", "dot" }
      assert.equal(0, status)
      local svg = svg_of(out)
      assert.matches("<svg", svg)
    end
    local svg = svg_of((select(2, support.run { "graph", wild, "--format", "dot" })))
    assert.equal(4, select(2, svg:gsub('class="cluster"', "")))
    assert.matches("cluster_n%d+", svg)
  end)

  it("draws what a flow's latest run did", function()
    local store = folder .. "/store"
    local status, _, err = support.run { "graph", "publish", "--store", store }
    assert.equal(6, status)
    assert.matches("there is no store", err)
    support.run { "run", "hello", "--store", store, "-q" }
    local none, _, why = support.run { "graph", "publish", "--store", store }
    assert.equal(6, none)
    assert.matches("`weir run publish` makes one", why)
    support.write(folder, "docs/one.md", "Some words about tides.\n")
    local flow = support.write(folder, "pipelines/count.lua", 'local weir = require "weir"\nreturn weir.flow "count" {\n  function(run)\n'
      .. '    local first = run:step "first" { agent = "echo", input = { n = 1 } }\n'
      .. '    return run:map "many" { over = { first, first }, function(each, item) return each:step "one" { agent = "echo", input = item } end }\n'
      .. '  end,\n}\n')
    assert.equal(0, (support.run { "run", flow, "--store", store, "-q" }))
    local _, out = support.run { "graph", flow, "--store", store }
    assert.matches('%["first"%]', out)
    assert.matches('%["many<br/><small>2 items</small>"%]', out)
    assert.matches("class n%d+,n%d+ finished", out)
  end)

  it("gives programs items and arrows", function()
    local drawn = support.lines((select(2, support.run { "graph", "hello", "--json" })))[1]
    assert.same({ "start", "greet", "end" }, { drawn.items[1].title, drawn.items[2].title, drawn.items[3].title })
    assert.same({ drawn.items[1].id, drawn.items[2].id, "solid" }, { drawn.edges[1].from, drawn.edges[1].to, drawn.edges[1].style })
  end)

  it("refuses a definition with errors", function()
    local path = support.write(folder, "pipelines/wrong.lua", 'local weir = require "weir"\nreturn weir.pipeline "w" { weir.step "a" { agent = "ecko" } }\n')
    local status, _, err = support.run { "graph", path }
    assert.equal(2, status)
    assert.matches("ecko", err)
  end)
end)
