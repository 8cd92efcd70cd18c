local text = require "weir.cli.text"

describe("text for people", function()
  it("says durations in a few characters", function()
    local cases = { [0] = "<1 ms", [0.0004] = "<1 ms", [0.012] = "12 ms", [0.9994] = "999 ms", [1] = "1.0 s", [59.94] = "59.9 s", [61] = "1 m 01 s",
      [3599] = "59 m 59 s", [3661] = "1 h 01 m", [90000] = "1 d 1 h" }
    for seconds, expected in pairs(cases) do assert.equal(expected, text.duration(seconds)) end
  end)

  it("says sizes and counts", function()
    assert.equal("812 B", text.bytes(812))
    assert.equal("1.5 MiB", text.bytes(1.5 * 1024 * 1024))
    assert.equal("1 entry", text.count(1, "entry", "entries"))
    assert.equal("0 entries", text.count(0, "entry", "entries"))
  end)

  it("shortens by characters, not bytes", function()
    assert.equal("äöü", text.shorten("äöü", 3))
    assert.equal("äö…", text.shorten("äöüß", 3))
    assert.equal("", text.shorten("abc", 1))
    assert.equal("ab...", text.shorten("abcdefgh", 5, "..."))
  end)

  it("fits lines into a terminal", function()
    assert.equal("\27[31mabc\27[0m", text.fit("\27[31mabc\27[0m", 4, "…"))
    assert.equal("a…", text.fit("\27[31mabc\27[0m", 3, "…"))
  end)

  it("lets nothing through that moves a terminal's cursor", function()
    assert.equal("a\\x1b[2Jb\\x07\\x7f", text.safe "a\27[2Jb\7\127")
    assert.equal("tab\tand\nline", text.safe "tab\tand\nline")
    assert.equal("bad ??", text.safe "bad \255\254")
    assert.equal("first", text.first_line "first\nsecond")
  end)

  it("aligns columns whatever their colours", function()
    local lines = text.columns({ { "a", "1" }, { "\27[31mlong\27[0m", "22" }, { "b", "333" } }, { [2] = "right" })
    assert.same({ "a       1", "\27[31mlong\27[0m   22", "b     333" }, lines)
  end)

  it("draws bars of their width", function()
    local signs = { full = "#", empty = "-" }
    assert.equal("####----", text.bar(0.5, 8, signs))
    assert.equal("--------", text.bar(-1, 8, signs))
    assert.equal("########", text.bar(7, 8, signs))
  end)

  it("shows of a traceback what lies in the user's code", function()
    local traceback = "stack traceback:\n\t[C]: in function 'error'\n\tweir/failure.lua:31: in function 'weir.failure.raise'\n\tm.lua:3: in upvalue 'inner'\n"
      .. "\tm.lua:9: in field 'execute'\n\tweir/run/kinds/agent.lua:52: in field 'execute'\n\t[C]: in function 'xpcall'"
    assert.same({ "m.lua:3: in upvalue 'inner'", "m.lua:9: in field 'execute'" }, text.trace_lines(traceback))
  end)
end)
