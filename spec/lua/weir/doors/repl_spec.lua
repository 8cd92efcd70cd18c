-- weir repl, attach and eval: at a terminal (`script` makes one), and without.
local history = require "weir.doors.history"
local json = require "weir.native.json"
local process = require "weir.port.process"
local socket = require "weir.port.socket"
local support = dofile "spec/lua/weir/cli/support.lua"
local terminals = dofile "spec/lua/weir/cli/terminal.lua"
local uv = require "luv"

describe("weir repl", function()
  local folder, host, terminal, has_script
  setup(function()
    has_script = terminals.is_there()
    folder = support.folder()
    support.write(folder, "weir.lua", "return { listen = false }\n")
    host = support.start({ "serve", "--write" }, { cwd = folder })
    assert(support.read_until(host.stdout, "repl"))
  end)
  teardown(function()
    host:kill "sigterm"
    host:wait(20)
    support.remove(folder)
  end)
  after_each(function()
    if terminal then terminal:close() end
    terminal = nil
  end)

  local function open()
    terminal = terminals.start({ "repl" }, folder)
    terminal:await "weir> "
  end

  describe("at a terminal", function()
    it("evaluates lines, of which some take several", function()
      if not has_script then return pending "script is not installed" end
      open()
      terminal:press "1 + 1\r"
      assert.matches("_1 = 2", terminal:await "weir> ")
      terminal:press "for n = 1, 2 do\r"
      terminal:await "   %.%. "
      terminal:press "print('n is', n) end\r"
      assert.matches("n is\t?%s*1\r?\nn is\t?%s*2", terminal:await "weir> ")
      terminal:press "error 'boom'\r"
      assert.matches("error: repl:1: boom", terminal:await "weir> ")
      terminal:press "\4"
      assert.equal(0, assert(terminal.child:wait(20)).status)
    end)

    it("completes with Tab, edits and brings lines back", function()
      if not has_script then return pending "script is not installed" end
      open()
      terminal:press "string.fo\t('%d', 42)\r"
      assert.matches('_1 = "42"', terminal:await "weir> ")
      terminal:press "\27[A\r"
      assert.matches('_2 = "42"', terminal:await "weir> ")
      terminal:press "'ab'\27[D\27[DX\r"
      assert.matches('_3 = "aXb"', terminal:await "weir> ")
      terminal:press "'ä€'\r"
      assert.matches('_4 = "ä€"', terminal:await "weir> ")
      terminal:press "run\t\t"
      assert.matches("run +runs", terminal:await "runs")
    end)

    it("takes a pasted text whole, and evaluates it with Enter", function()
      if not has_script then return pending "script is not installed" end
      open()
      terminal:press "\27[200~local a = 20\nlocal b = 22\nreturn a + b\27[201~"
      terminal:await "   %.%. "
      terminal:press "\r"
      assert.matches("_1 = 42", terminal:await "weir> ")
    end)

    it("interrupts an endless loop with Ctrl-C, and a line that is being typed", function()
      if not has_script then return pending "script is not installed" end
      open()
      terminal:press "print 'begun' while true do end\r"
      terminal:await "begun\r?\n"
      terminal:press "\3"
      assert.matches("interrupted", terminal:await "weir> ")
      terminal:press "half a line\3"
      terminal:await "weir> "
      terminal:press "'whole'\r"
      assert.matches('"whole"', terminal:await "weir> ")
    end)

    it("keeps what was typed for its owner, secrets masked", function()
      if not has_script then return pending "script is not installed" end
      local file = folder .. "/.weir/history"
      open()
      terminal:press "api_token = 'abcdef123456'\r"
      terminal:await "weir> "
      terminal:press "'kept'\r"
      terminal:await "weir> "
      terminal:press "\4"
      terminal.child:wait(20)
      assert.equal(384, assert(uv.fs_stat(file)).mode & 511)
      local lines = history.load(file)
      assert.equal("'kept'", lines[#lines])
      assert.equal("api_token = '[secret]'", lines[#lines - 1])
      open()
      terminal:press "\27[A\r"
      assert.matches('"kept"', terminal:await "weir> ")
    end)
  end)

  it("reads lines from its input where there is no terminal", function()
    local result = support.host({ "repl" }, { cwd = folder, stdin = "1 + 1\nfor n = 1, 2 do\n  print(n)\nend\n" })
    assert.equal("2\n1\n2\n", result.stdout)
    assert.equal(0, result.status)
    result = support.host({ "repl" }, { cwd = folder, stdin = "error 'x'\n'after'\n" })
    assert.equal(1, result.status)
    assert.equal('"after"\n', result.stdout)
    assert.equal(2, support.host({ "repl" }, { cwd = folder, stdin = "for\n" }).status)
  end)

  it("answers each line as it comes", function()
    local child = assert(process.start({ uv.exepath(), "repl" }, { cwd = folder, env = support.environment(), pipe = true }))
    for n = 1, 3 do
      assert(child.stdin:write(("%d * 7\n"):format(n)))
      assert.equal(("%d\n"):format(n * 7), support.read_until(child.stdout, "\n"))
    end
    child.stdin:close()
    assert.equal(0, assert(child:wait(20)).status)
  end)

  -- A socket elsewhere that hands on what comes to another one, as SSH does for a host of another machine.
  local function relay(path, to)
    local server = uv.new_pipe(false)
    assert(server:bind(path))
    assert(server:listen(8, function()
      local near, far = uv.new_pipe(false), uv.new_pipe(false)
      server:accept(near)
      local function hand_on(from, other)
        from:read_start(function(_, bytes)
          if bytes then return other:write(bytes) end
          for _, one in ipairs { from, other } do
            if not one:is_closing() then one:close() end
          end
        end)
      end
      far:connect(to, function()
        hand_on(near, far)
        hand_on(far, near)
      end)
    end))
    return server
  end

  it("is attached to through a socket that leads to that of the host", function()
    local elsewhere = support.folder()
    local server = relay(elsewhere .. "/shop.sock", folder .. "/.weir/repl.sock")
    local done = support.host({ "attach", elsewhere .. "/shop.sock" }, { stdin = "host.project.root\n" })
    server:close()
    support.remove(elsewhere)
    assert.same({ 0, ("%q\n"):format(folder) }, { done.status, done.stdout }, done.stderr)
  end)

  it("is attached to by the folder of a project, of a store, and by a socket", function()
    for _, where in ipairs { folder, folder .. "/.weir", folder .. "/.weir/repl.sock" } do
      assert.equal("3\n", support.host({ "attach", where }, { stdin = "1 + 2\n" }).stdout, where)
    end
    assert.equal(7, support.host({ "attach", folder .. "/modules" }, { stdin = "" }).status)
  end)

  it("ends what a client that vanished was evaluating", function()
    local client = assert(socket.connect(folder .. "/.weir/repl.sock"))
    client:write '{"op":"eval","id":1,"text":"spinning = true while true do end"}\n'
    client:close()
    local function tasks() return tonumber(support.host({ "eval", "#require('weir.task').tasks()" }, { cwd = folder }).stdout) end
    local before = tasks()
    for _ = 1, 3 do
      local other = assert(socket.connect(folder .. "/.weir/repl.sock"))
      other:write '{"op":"eval","id":1,"text":"print(1) while true do end"}\n'
      assert(other:read_line(20))
      other:close()
    end
    local after
    for _ = 1, 100 do
      after = tasks()
      if after <= before then break end
    end
    assert.is_true(after <= before, ("%d tasks, %d before"):format(after, before))
  end)
end)

describe("weir eval", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  it("ends with 7 where no host is, and says what to do", function()
    local result = support.host({ "eval", "1" }, { cwd = folder })
    assert.equal(7, result.status)
    assert.matches("weir dev", result.stderr, 1, true)
  end)

  it("evaluates in a private host, and leaves nothing", function()
    local result = support.host({ "eval", "--new", "start('hello', { name = 'Ada' }):wait()" }, { cwd = folder })
    assert.equal('"Hello, Ada!"\n', result.stdout, result.stderr)
    assert.is_nil(uv.fs_stat(folder .. "/.weir"))
  end)

  for text, case in pairs { ["1 + 1"] = { 0, "2\n" }, ["error 'x'"] = { 1, "" }, ["1 +"] = { 2, "" }, ["x y"] = { 2, "" },
    ["run 'r_zz'"] = { 6, "" } } do
    it(("says with its status what became of: %s"):format(text), function()
      local result = support.host({ "eval", "--new", text }, { cwd = folder })
      assert.equal(case[1], result.status, result.stderr)
      assert.equal(case[2], result.stdout)
      assert.equal(case[1] == 0, result.stderr == "")
    end)
  end

  it("gives programs the value as text, or the error", function()
    local line = json.decode(support.host({ "eval", "--new", "--json", "{ 1.0 }" }, { cwd = folder }).stdout)
    assert.equal("{ 1.0 }", line.value)
    assert.equal(0, line.status)
    line = json.decode(support.host({ "eval", "--new", "--json", "error 'x'" }, { cwd = folder }).stdout)
    assert.equal("failed", line.error.code)
  end)

  it("looks only where the host was started without --write", function()
    support.write(folder, "weir.lua", "return { listen = false }\n")
    local host = support.start({ "serve" }, { cwd = folder })
    assert(support.read_until(host.stdout, "repl"))
    assert.equal(8, support.host({ "eval", "start 'hello'" }, { cwd = folder }).status)
    assert.equal("{}\n", support.host({ "eval", "runs{}" }, { cwd = folder }).stdout)
    host:kill "sigterm"
    host:wait(20)
  end)
end)

describe("a history", function()
  for given, masked in pairs {
    ["token = 'abc'"] = "token = '[secret]'",
    ['{ ["api-key"] = "abc", x = "y" }'] = '{ ["api-key"] = "[secret]", x = "y" }',
    ["login('ada', { password = \"p w\" })"] = "login('ada', { password = \"[secret]\" })",
    ["h = 'Bearer abc.def'"] = "h = 'Bearer [secret]'",
    ["use 'sk-abc123'"] = "use '[secret]'",
    ["monkeys = 'bananas'"] = "monkeys = '[secret]'",
    ["name = 'ada'"] = "name = 'ada'",
  } do
    it(("masks secrets: %s"):format(given), function() assert.equal(masked, history.masked(given)) end)
  end
end)
