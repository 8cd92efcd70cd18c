local house_of = require "weir.mcp.house"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local cli = dofile "spec/lua/weir/cli/support.lua"
local support = dofile "spec/lua/weir/mcp/support.lua"
local task = require "weir.task"
local uv = require "luv"

describe("the mcp servers of a host", function()
  local house, folder
  local missing = support.missing()
  local function it_works(title, body)
    if missing then return pending(title .. " (" .. missing .. ")") end
    it(title, body)
  end

  before_each(function() folder = cli.folder() end)
  after_each(function()
    if house then house:close() end
    house = nil
    cli.remove(folder)
  end)

  -- A server that writes its process id into a file of the folder.
  local function settings(mode, name)
    local one = support.settings(mode)
    one.command[4] = folder .. "/" .. (name or mode)
    return one
  end

  local function pid_of(name)
    return support.eventually(function()
      local file = io.open(folder .. "/" .. name)
      local text = file and file:read "a"
      if file then file:close() end
      return tonumber(text)
    end)
  end

  it_works("are opened when they are first needed, once for all who ask, and kept", function()
    house = house_of.new { one = settings "legacy", two = settings "modern" }
    assert.same({ "one", "two" }, house:names())
    assert.is_nil(uv.fs_stat(folder .. "/legacy"))
    local clients = {}
    assert(task.within({}, function()
      for n = 1, 5 do task.spawn(function() clients[n] = assert(house:client "one") end) end
    end))
    for n = 2, 5 do assert.equal(clients[1], clients[n]) end
    assert.is_nil(uv.fs_stat(folder .. "/modern"))
    assert.equal("hello", assert(house:call("mcp/one/echo", { text = "hello" })).content[1].text)
    assert.equal("echo", assert(house:lookup "mcp/one/echo").name)
    assert.equal(17, #house:tools "one")
  end)

  it("that nobody knows are refused with what may have been meant", function()
    house = house_of.new { files = { command = { "x" } }, web = { url = "http://127.0.0.1:1" } }
    local _, message, code = house:client "file"
    assert.equal("there is no mcp server 'file'; did you mean 'files'?; there are files, web", message)
    assert.equal("not_found", code)
    _, message, code = house:lookup "files/read"
    assert.equal("'files/read' is no tool of an mcp server: mcp/SERVER/TOOL expected", message)
    assert.equal("invalid", code)
    assert.equal("invalid", select(3, house:call "mcp/files"))
  end)

  it_works("outlive the task that needed them first, and its cancellation", function()
    house = house_of.new { one = settings "legacy" }
    local ok = task.within({ timeout = 0.001 }, function()
      house:client "one"
      task.sleep(1000)
    end)
    assert.is_false(ok)
    assert.equal("hello", assert(house:call("mcp/one/echo", { text = "hello" })).content[1].text)
  end)

  it_works("know nothing of what the task that needed them first works on", function()
    house = house_of.new { one = settings "legacy" }
    local before = native.context()
    native.set_context { stopped = nil }
    local context = native.context()
    assert(house:client "one")
    native.set_context(before)
    house:close()
    assert.is_nil(context.stopped)
  end)

  it_works("are started again by the call after the one in which they ended, and that is told", function()
    local told = {}
    house = house_of.new({ one = settings "legacy" }, { on_tools_changed = function(name) told[#told + 1] = name end })
    local _, message, code = house:call "mcp/one/die"
    assert.equal("unavailable", code)
    assert.matches("has ended with status 3", message, 1, true)
    local first = pid_of "legacy"
    os.remove(folder .. "/legacy")
    assert.equal("on", assert(house:call("mcp/one/echo", { text = "on" })).content[1].text)
    assert.not_equal(first, pid_of "legacy")
    assert.truthy(support.eventually(function() return told[1] == "one" end))
  end)

  it_works("that end again and again are started the later the more often", function()
    local log, logged = support.log()
    house = house_of.new({ one = settings "legacy" }, { log = log })
    local place
    for n = 1, 3 do
      assert.equal("unavailable", select(3, house:call "mcp/one/die"))
      place = house.places.one
      assert.truthy(support.eventually(function() return place.ends == n end))
    end
    local delays = {}
    for seconds in logged():gmatch '"again_in_seconds":([%d.]+)' do delays[#delays + 1] = tonumber(seconds) end
    assert.same({ 0, 0.5, 1 }, delays)
    place.ends, place.start_at = 9, native.now() + 60
    local from = native.now()
    local _, message, code = house:call "mcp/one/echo"
    assert.equal("unavailable", code)
    assert.matches("it has ended 9 times in a row and is started again in 60 seconds", message, 1, true)
    assert.is_true(native.now() - from < 30)
    place.start_at = native.now() + 0.05
    assert.equal("on", assert(house:call("mcp/one/echo", { text = "on" })).content[1].text)
  end)

  it("that cannot be started say so to each who asks, and are tried again", function()
    house = house_of.new { one = { command = { "no-such-server" } } }
    for _ = 1, 2 do
      local _, message, code = house:client "one"
      assert.equal("mcp server 'one': command 'no-such-server': no such file or directory", message)
      assert.equal("not_found", code)
    end
  end)

  it_works("end with it, also those that do not want to, and those that are being opened", function()
    local before = support.children()
    house = house_of.new { one = settings "stubborn", two = settings "silent", three = settings "modern" }
    assert(house:client "one")
    assert(house:client "three")
    local results
    local opening = task.start({}, function() results = table.pack(house:client "two") end)
    local pids = { pid_of "stubborn", pid_of "silent", pid_of "modern" }
    house:close()
    opening:join()
    assert.equal("closed", results[3])
    for _, pid in ipairs(pids) do assert.is_false(support.is_running(pid)) end
    assert.equal(before, support.children())
    assert.equal("closed", select(3, house:client "one"))
  end)

  local function project(servers)
    local list = {}
    for name, one in pairs(servers) do
      list[#list + 1] = ("%s = { command = { %s } }"):format(name, table.concat((function()
        local quoted = {}
        for index, word in ipairs(one.command) do
          quoted[index] = ("%q"):format(word:find "^spec/" and uv.cwd() .. "/" .. word or word)
        end
        return quoted
      end)(), ", "))
    end
    cli.write(folder, "weir.lua", ("return { mcp = { %s } }\n"):format(table.concat(list, ", ")))
  end

  it_works("end when the host is killed without a word, also those that hear nothing of it", function()
    project { stuck = settings "stuck" }
    local host = cli.start({ "mcp", "list" }, { cwd = folder })
    local pid = pid_of "stuck"
    assert.is_true(support.is_running(pid))
    task.sleep(0.1) -- so that it is likely to be in the middle of it; whenever it is, the server has to end
    host:kill "sigkill"
    assert.truthy(support.eventually(function() return not support.is_running(pid) end))
    host:close()
  end)

  describe("weir mcp list", function()
    it_works("shows servers and their tools", function()
      project { one = settings "legacy", two = settings "modern", gone = { command = { "no-such-server" } } }
      local result = cli.host({ "mcp", "list" }, { cwd = folder })
      assert.equal(1, result.status)
      assert.matches("one  stdio, MCP 2025%-11%-25, 17 tools\n  mcp/one/echo +echo of a spec\n", result.stdout)
      assert.matches("two  stdio, MCP 2026%-07%-28, 17 tools\n", result.stdout)
      assert.matches("failed: mcp server 'gone': command 'no-such-server'", result.stderr, 1, true)
      result = cli.host({ "mcp", "list", "two", "--json" }, { cwd = folder })
      assert.equal(0, result.status)
      local line = json.decode(result.stdout)
      assert.same({ "two", "modern", "mcp/two/echo", "2026-07-28" }, { line.server, line.era, line.tools[1].name, line.version })
      assert.equal(6, cli.host({ "mcp", "list", "tow" }, { cwd = folder }).status)
    end)

    it_works("runs a server in the folder of the project, unless it says where", function()
      project { one = { command = { "python3", "server.py" } } }
      cli.write(folder, "server.py", "import os\nopen('was_here', 'w').close()\nos._exit(0)\n")
      cli.write(folder, "deep/er/x", "")
      assert.equal(1, cli.host({ "mcp", "list" }, { cwd = folder .. "/deep/er" }).status)
      assert.truthy(uv.fs_stat(folder .. "/was_here"))
    end)

    it_works("calls one tool by hand", function()
      project { one = settings "legacy" }
      local result = cli.host({ "mcp", "call", "mcp/one/echo", '{"text":"gr\xC3\xBCn\27[2J"}' }, { cwd = folder })
      assert.same({ 2, "" }, { result.status, result.stdout }) -- that is no JSON
      result = cli.host({ "mcp", "call", "mcp/one/echo", '{"text":"ebb\\u001b[2J"}' }, { cwd = folder })
      assert.same({ 0, "ebb\\x1b[2J\n" }, { result.status, result.stdout })
      result = cli.host({ "mcp", "call", "mcp/one/typed", '{"n":3}', "--json" }, { cwd = folder })
      assert.same({ content = {}, structured = { n = 3 }, is_error = false }, json.decode(result.stdout))
      assert.equal(6, cli.host({ "mcp", "call", "mcp/one/nothing" }, { cwd = folder }).status)
      assert.equal(2, cli.host({ "mcp", "call", "mcp/one/echo", "[]" }, { cwd = folder }).status)
      assert.equal(2, cli.host({ "mcp", "call" }, { cwd = folder }).status)
      assert.equal(1, cli.host({ "mcp", "call", "mcp/one/die" }, { cwd = folder }).status)
    end)

    it("says that there are none", function()
      local result = cli.host({ "mcp", "list" }, { cwd = folder })
      assert.equal(0, result.status)
      assert.matches("there are no MCP servers; the setting `mcp` in weir.lua names them", result.stderr, 1, true)
    end)
  end)

  it("are called by settings that are checked", function()
    for text, words in pairs {
      ["mcp = 1"] = "mcp: a table of servers by name expected, got integer 1",
      ["mcp = { ['a/b'] = { url = 'http://x' } }"] = "'a/b' is no name of a server",
      ["mcp = { a = 1 }"] = "mcp.a: a table expected",
      ["mcp = { a = {} }"] = "mcp.a: either `command` or `url` expected",
      ["mcp = { a = { url = 'http://x', command = { 'y' } } }"] = "mcp.a: either `command` or `url` expected",
      ["mcp = { a = { comand = { 'y' } } }"] = "there is no field 'comand'; did you mean 'command'?",
      ["mcp = { a = { command = 'ls -l' } }"] = "mcp.a.command: a list of texts expected, the program first, got string 'ls -l'",
      ["mcp = { a = { command = { 'ls', 1 } } }"] = "mcp.a.command[2]: a text expected, got integer 1",
      ["mcp = { a = { command = { 'ls', x = 1 } } }"] = "mcp.a.command: a list expected; 'x' has no place in it",
      ["mcp = { a = { command = { 'ls' }, headers = {} } }"] = "mcp.a.headers: only a server with a url has it",
      ["mcp = { a = { url = 'http://x', env = {} } }"] = "mcp.a.env: only a server with a command has it",
      ["mcp = { a = { url = 'ftp://x' } }"] = "mcp.a.url: a URL such as",
      ["mcp = { a = { url = 'http://me:pw@x' } }"] = "without a user in it",
      ["mcp = { a = { url = 'http://x', headers = { ['Mcp-Name'] = 'x' } } }"] = "mcp.a.headers.Mcp-Name: weir sets this header itself",
      ["mcp = { a = { url = 'http://x', headers = { k = 'a\\nb' } } }"] = "mcp.a.headers.k: a text on one line expected",
      ["mcp = { a = { command = { 'ls' }, env = { X = 1 } } }"] = "mcp.a.env.X: a text expected, got integer 1",
      ["mcp = { a = { command = { 'ls' }, env = { X = 'secret://X' } } }"] = "mcp.a.env.X: a secret goes into headers only",
      ["mcp = { a = { command = { 'ls' }, env = { 'X=1' } } }"] = "mcp.a.env: a name that stands alone is a variable to hand down",
      ["mcp = { a = { command = { 'ls' }, era = 'old' } }"] = "mcp.a.era: modern or legacy expected",
      ["mcp = { a = { command = { 'ls' }, timeout = 0 } }"] = "mcp.a.timeout: seconds above 0 expected",
    } do
      cli.write(folder, "weir.lua", "return { " .. text .. " }\n")
      local ok, err = pcall(require("weir.project").open, folder)
      assert.is_false(ok, text)
      assert.equal("invalid", err.code)
      assert.matches(words, err.message, 1, true)
    end
    cli.write(folder, "weir.lua", [[return { mcp = { a = { command = { "x", "" }, env = { "TOKEN", A = "" }, cwd = "/tmp", timeout = 5 },
      b = { url = "https://example.org/mcp", headers = { authorization = { "Bearer ", "secret://B" } }, era = "modern" } } }]])
    assert.same({ "x", "" }, require("weir.project").open(folder).settings.mcp.a.command)
  end)
end)
