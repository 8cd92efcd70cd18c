local json = require "weir.native.json"
local log_of = require "weir.log"

describe("a log", function()
  local lines, log
  before_each(function()
    lines = {}
    log = log_of.new { write = function(line) lines[#lines + 1] = line end }
  end)

  it("writes a line of JSON for each record, the time first", function()
    log:info("run ended", { run = "r_1", seconds = 1.5, steps = 3 })
    assert.matches('^{"time":"%d+%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ","level":"info","message":"run ended",', lines[1])
    local record = json.decode(lines[1])
    assert.equal("r_1", record.run)
    assert.equal(3, record.steps)
    assert.equal(1, #lines)
  end)

  it("leaves out what is below its level, and counts it", function()
    log:debug "unseen"
    log.level = "error"
    log:warn "unseen too"
    log:error "seen"
    assert.equal(1, #lines)
    assert.equal("seen", json.decode(lines[1]).message)
    assert.same({ debug = 1, info = 0, warn = 1, error = 1 }, log.counts)
  end)

  it("is one line a record, whatever is in it", function()
    log:info("a\n{\"level\":\"error\"}\27[2J", { ["na\nme"] = "\0\r\n\127", bytes = "\255\254" })
    assert.equal(1, select(2, lines[1]:gsub("\n", "")))
    local record = json.decode(lines[1])
    assert.equal("a\n{\"level\":\"error\"}\27[2J", record.message)
    assert.is_nil(lines[1]:find "[%c\127]." or nil)
    assert.equal("\\xff\\xfe", record.bytes)
  end)

  it("keeps its own fields apart from those that are given", function()
    log:info("real", { level = "error", message = "false", time = "never" })
    local record = json.decode(lines[1])
    assert.equal("info", record.level)
    assert.equal("real", record.message)
    assert.equal("error", record._level)
  end)

  it("shows no registered secret, wherever it stands", function()
    assert.is_true(log_of.secret "hunter2-hunter2")
    assert.is_true(log_of.secret "hunter2-hunter2-longer")
    assert.is_false(log_of.secret "abc")
    log:info("with hunter2-hunter2 in it", { deep = { { ["hunter2-hunter2"] = "xhunter2-hunter2-longerx" } }, n = 1 })
    assert.is_nil(lines[1]:find("hunter2", 1, true))
    assert.matches("with [secret] in it", lines[1], 1, true)
    assert.matches("x[secret]x", lines[1], 1, true)
  end)

  it("never raises", function()
    local circle = {}
    circle.circle = circle
    log:info("odd", { circle = circle, f = print, nan = 0 / 0, huge = math.huge })
    assert.equal(1, #lines)
    assert.equal("odd", json.decode(lines[1]).message)
  end)

  it("is for people on a terminal, and moves no cursor", function()
    log = log_of.new { human = true, write = function(line) lines[#lines + 1] = line end }
    log:warn("slow\27[2J", { run = "r_1", text = "two words" })
    assert.matches('^%d%d:%d%d:%d%d warn  slow\\x1b%[2J run=r_1 text="two words"\n$', lines[1])
    log:error("broken", { excerpt = "> 2 | x(\27[2J\n  3 | y", line = 2 })
    assert.matches("error broken line=2\n    > 2 | x(\\x1b[2J\n      3 | y\n", lines[2], 1, true)
  end)
end)
