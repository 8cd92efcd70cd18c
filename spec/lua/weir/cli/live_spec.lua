-- The display on a terminal, in a terminal: `script` makes one.
local process = require "weir.port.process"
local support = dofile "spec/lua/weir/cli/support.lua"

local SLOW = [[
local weir = require "weir"
return weir.pipeline "slow" {
  weir.step "first" { agent = "echo", input = { n = 1 } },
  weir.group "both" {
    weir.step "nap" { sleep = 0.5 },
    weir.map "items" { over = weir.list { 1, 2, 3, 4 }, concurrency = 1, weir.step "one" { sleep = 0.15 } },
  },
}
]]

local function on_terminal(arguments, env)
  local words = { require("luv").exepath() }
  table.move(arguments, 1, #arguments, 2, words)
  return assert(process.run({ "script", "-qec", table.concat(words, " "), "/dev/null" },
    { env = support.environment(env), timeout = 30, stdin = "" })).stdout
end

-- What stands on the screen in the end: what was cleared is gone.
local function screen_of(text)
  local lines = { "" }
  for piece, escape in (text .. "\27[m"):gmatch "([^\27]*)\27%[([%d;]*%a)" do
    for line, stop in (piece:gsub("\r", "")):gmatch "([^\n]*)(\n?)" do
      lines[#lines] = lines[#lines] .. line
      if stop == "\n" then lines[#lines + 1] = "" end
    end
    local up = escape:match "^(%d+)A$"
    if up then
      for _ = 1, tonumber(up) do lines[#lines] = nil end
      lines[#lines] = ""
    end
  end
  return table.concat(lines, "\n")
end

describe("the live display", function()
  local folder, path, is_there
  setup(function()
    folder = support.folder()
    path = support.write(folder, "pipelines/slow.lua", SLOW)
    is_there = process.run({ "script", "--version" }, {}) ~= nil
  end)
  teardown(function() support.remove(folder) end)

  local function run(env)
    return on_terminal({ "run", path, "--store", folder .. "/store" }, env)
  end

  it("draws bars and times while steps run, and leaves a line per step", function()
    if not is_there then return pending "script is not installed" end
    local text = run { TERM = "xterm", NO_COLOR = "" }
    assert.matches("both/items  .-█.-░.- %d/4", text)
    assert.matches("\27%[%d+A\r\27%[J", text)
    assert.matches("\27%[32m✓", text)
    local screen = screen_of(text)
    assert.equal(1, select(2, screen:gsub("✓ first", "")))
    assert.equal(1, select(2, screen:gsub("✓ both/nap", "")))
    assert.equal(1, select(2, screen:gsub("✓ both/items  4 items", "")))
    assert.is_nil(screen:find("█", 1, true))
    assert.matches("✓ r_%w+ finished", screen)
  end)

  it("has no colours with NO_COLOR, and no display on a dumb terminal", function()
    if not is_there then return pending "script is not installed" end
    assert.not_matches("\27%[[%d;]+m", run { TERM = "xterm", NO_COLOR = "1" })
    assert.not_matches("\27", run { TERM = "dumb" })
  end)

  it("is redrawn ten times a second at most", function()
    if not is_there then return pending "script is not installed" end
    local began = require("luv").hrtime()
    local _, drawn = run({ TERM = "xterm" }):gsub("\27%[%d+A", "")
    local seconds = (require("luv").hrtime() - began) / 1e9
    assert.is_true(drawn >= 2 and drawn <= seconds * 10 + 2, ("drawn %d times in %.1f s"):format(drawn, seconds))
  end)
end)
