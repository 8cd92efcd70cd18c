-- Commands that a living host carries out.
local json = require "weir.native.json"
local process = require "weir.port.process"
local socket = require "weir.port.socket"
local support = dofile "spec/lua/weir/cli/support.lua"
local uv = require "luv"

local WAITS = [[
local weir = require "weir"
return weir.pipeline "waits" {
  weir.step "first" { agent = "echo", input = "one" },
  weir.approval "release" { title = "Out?" },
  output = "$.release.decision",
}
]]
local STAYS = [[
local weir = require "weir"
return weir.pipeline "stays" {
  weir.step "first" { agent = "echo", input = "one" },
  weir.step "stay" { agent = "command", input = { args = { "sleep", "600" } }, timeout = "1h" },
}
]]
local READS = [[
local weir = require "weir"
return weir.pipeline "reads" { input = { text = "string" }, weir.step "back" { agent = "echo", input = "$.input.text" }, output = "$.back" }
]]

describe("a command about the store of a living host", function()
  local folder, host
  setup(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return { listen = false }\n")
    support.write(folder, "pipelines/waits.lua", WAITS)
    support.write(folder, "pipelines/stays.lua", STAYS)
    support.write(folder, "pipelines/reads.lua", READS)
    support.write(folder, "inner/input.json", '{"text": "from a file"}')
    host = support.start({ "serve" }, { cwd = folder })
    assert(support.read_until(host.stdout, "repl"))
  end)
  teardown(function()
    host:kill "sigterm"
    host:wait(20)
    support.remove(folder)
  end)

  local function weir(arguments, options)
    options = options or {}
    options.cwd = options.cwd or folder
    return support.host(arguments, options)
  end

  it("runs a pipeline there, with its output, its progress and its status here", function()
    local result = weir { "run", "hello", "--set", "name=Ada" }
    assert.equal(0, result.status, result.stderr)
    assert.equal("Hello, Ada!\n", result.stdout)
    assert.matches("✓ greet", result.stderr, 1, true)
    assert.matches("finished in", result.stderr)
    assert.matches("hello +✓ finished", weir({ "runs" }).stdout)
  end)

  it("refuses as it does without a host", function()
    assert.equal(2, weir({ "run", "reads" }).status)
    assert.equal(6, weir({ "run", "nothing" }).status)
    assert.equal(6, weir({ "show", "r_zzz" }).status)
    local refusal = support.lines(weir({ "show", "r_zzz", "--json" }).stdout)[1]
    assert.equal("not_found", refusal.error.code)
  end)

  it("reads files from the client's folder, and its standard input", function()
    local inner = folder .. "/inner"
    assert.equal("from a file\n", weir({ "run", "reads", "--input", "@input.json" }, { cwd = inner }).stdout)
    assert.equal("from stdin\n", weir({ "run", "reads", "--input", "-" }, { stdin = '{"text": "from stdin"}' }).stdout)
    assert.equal("up here\n", weir({ "run", "../pipelines/reads.lua", "--set", "text=up here" }, { cwd = inner }).stdout)
    assert.equal(0, weir({ "export", "last", "run.weir" }, { cwd = inner }).status)
    assert.is_truthy(uv.fs_stat(inner .. "/run.weir"))
    local large = ("ä"):rep(150000)
    assert.equal(large .. "\n", weir({ "run", "reads", "--input", "-" }, { stdin = json.encode { text = large } }).stdout)
  end)

  it("carries bytes that are no text", function()
    local whole = weir { "export", "last" }
    assert.equal(0, whole.status)
    assert.is_nil(utf8.len(whole.stdout))
    local one = support.folder()
    support.write(one, "run.weir", whole.stdout)
    assert.equal(0, support.host({ "import", "run.weir" }, { cwd = one }).status)
    support.remove(one)
  end)

  it("says what a run waits for, and goes on with it once it is decided", function()
    local waiting = weir { "run", "waits" }
    assert.equal(3, waiting.status)
    local id = waiting.stderr:match "weir approve (a_%w+)"
    local other = weir { "approve", id }
    assert.equal(0, other.status, other.stderr)
    assert.equal("approve\n", other.stdout)
    assert.equal(8, weir({ "reject", id }).status)
  end)

  it("gives with an equal --key the run that waits already", function()
    local first = weir { "run", "stays", "--detach", "--key", "k", "--json" }
    local again = weir { "run", "stays", "--detach", "--key", "k", "--json" }
    assert.same({ 0, 0 }, { first.status, again.status }, again.stderr)
    local id = support.lines(first.stdout)[1].run
    assert.equal(id, support.lines(again.stdout)[1].run)
    assert.equal(8, weir({ "run", "hello", "--detach", "--key", "k" }).status)
    assert.equal(0, weir({ "cancel", id }).status)
  end)

  it("leaves a run to the host with --detach, and cancels it from another process", function()
    local started = weir { "run", "stays", "--detach" }
    assert.equal(0, started.status, started.stderr)
    local id = started.stdout:match "^(r_%w+)\n$"
    assert.matches("running", weir({ "runs", "--status", "running" }).stdout)
    local cancelled = weir { "cancel", id, "--reason", "enough" }
    assert.equal(0, cancelled.status)
    assert.matches(id .. "  stays  cancelled", cancelled.stdout, 1, true)
  end)

  it("ends with Ctrl-C, and the run goes on in the host", function()
    local child = support.start({ "run", "stays" }, { cwd = folder })
    assert(support.read_until(child.stderr, "first"))
    child:kill "sigint"
    local said = support.read_until(child.stderr, "cancels it")
    local id = said:match "weir cancel (r_%w+)"
    assert.equal(130, assert(child:wait(20)).status)
    assert.equal("running", support.lines(weir({ "show", id, "--json" }).stdout)[1].status)
    assert.equal(0, weir({ "cancel", id }).status)
  end)

  it("leaves the run alone when its process is killed", function()
    local child = support.start({ "run", "stays" }, { cwd = folder })
    assert(support.read_until(child.stderr, "first"))
    child:kill "sigkill"
    child:wait(20)
    local line = support.lines(weir({ "runs", "--status", "running", "--json" }).stdout)[1]
    assert.equal("stays", line.pipeline)
    assert.equal(0, weir({ "cancel", line.run }).status)
  end)

  it("has a pipe that is closed early do no harm", function()
    local result = assert(process.run({ "sh", "-c", ("'%s' runs --json | head -n 1"):format(uv.exepath()) },
      { cwd = folder, env = support.environment() }))
    assert.equal(0, result.status)
    assert.equal(1, select(2, result.stdout:gsub("\n", "")))
  end)

  it("finds nothing wrong with a store that the host has", function()
    local result = weir { "doctor", "--json" }
    local found
    for _, line in ipairs(support.lines(result.stdout)) do
      if line.check == "store" then found = line end
    end
    assert.equal("ok", found.status)
    assert.matches(("a host serves .*process %d"):format(host.pid), found.detail)
  end)

  it("says that the host goes on with runs by itself", function()
    local result = weir { "resume" }
    assert.equal(0, result.status)
    assert.matches("by itself", result.stderr)
  end)

  it("of another project's pipelines is refused", function()
    local elsewhere = support.folder()
    local result = weir({ "run", "hello", "--store", folder .. "/.weir" }, { cwd = elsewhere })
    assert.equal(8, result.status)
    assert.matches("this host serves the project", result.stderr, 1, true)
    assert.equal(0, weir({ "runs", "--store", folder .. "/.weir" }, { cwd = elsewhere }).status)
    support.write(elsewhere, "pipelines/other.lua", READS)
    assert.equal(0, weir({ "graph", elsewhere .. "/pipelines/other.lua" }).status)
    support.remove(elsewhere)
  end)

  describe("over its socket", function()
    local connection
    before_each(function() connection = assert(socket.connect(folder .. "/.weir/repl.sock")) end)
    after_each(function() connection:close() end)

    local function ask(text)
      assert(connection:write(text .. "\n"))
      return json.decode(assert(connection:read_line(20)))
    end

    it("tells who is there", function()
      local answer = ask '{"op":"hello","id":"x"}'
      assert.equal("x", answer.id)
      assert.equal(folder, answer.project)
      assert.is_false(answer.write)
      assert.equal(0, answer.status)
    end)

    for name, line in pairs { ["no JSON"] = "hello", ["a list"] = "[]", ["an unknown op"] = '{"op":"shutdown","id":1}', ["no op"] = "{}",
      ["a seed"] = '{"op":"command","arguments":["run","hello","--seed","1"]}', ["a command that is not the host's"] = '{"op":"command","arguments":["serve"]}', ["a command that is none"] = '{"op":"command"}' } do
      it(("refuses %s, and goes on"):format(name), function()
        local answer = ask(line)
        while not answer.status do answer = json.decode(assert(connection:read_line(20))) end
        assert.equal(2, answer.status)
        assert.is_true(answer.error == nil or answer.error.code == "invalid")
        assert.equal(0, ask('{"op":"hello"}').status)
      end)
    end

    it("carries out several requests side by side, each answered under its id", function()
      assert(connection:write '{"op":"command","id":1,"arguments":["run","stays"]}\n{"op":"command","id":2,"arguments":["runs","--json"]}\n')
      local answer
      repeat answer = json.decode(assert(connection:read_line(20))) until answer.id == 2 and answer.status
      assert.equal(0, answer.status)
      assert(connection:write '{"op":"interrupt","id":1}\n')
      repeat answer = json.decode(assert(connection:read_line(20))) until answer.id == 1 and answer.status
      assert.equal(130, answer.status)
      weir { "cancel", "last" }
    end)
  end)
end)

describe("commands that look", function()
  it("say the same with a host as without", function()
    local folder = support.folder()
    support.write(folder, "weir.lua", "return { listen = false }\n")
    support.write(folder, "pipelines/waits.lua", WAITS)
    support.write(folder, "pipelines/reads.lua", READS)
    support.host({ "run", "reads", "--set", "text=x" }, { cwd = folder })
    support.host({ "run", "reads", "--set", "text=y" }, { cwd = folder })
    support.host({ "run", "waits" }, { cwd = folder })
    support.host({ "workspace", "post", "note", "text" }, { cwd = folder })
    local lines = support.lines(support.host({ "runs", "--json" }, { cwd = folder }).stdout)
    local first, second = lines[3].run, lines[2].run
    local looks = { { "runs" }, { "runs", "--json" }, { "runs", "--status", "waiting" }, { "show", first }, { "show", first, "--json" },
      { "show", "last" }, { "show", first, "--at", "back" }, { "trace", first }, { "trace", first, "--json" }, { "diff", first, second },
      { "approvals" }, { "approvals", "--json" }, { "workspace", "list" }, { "workspace", "get", "note" }, { "graph", "reads" },
      { "graph", first }, { "modules", "--kind", "critic" }, { "show", "r_none" }, { "runs", "--limit", "x" },
      { "retry", first, "--dry-run" }, { "fork", first, "--at", "back", "--dry-run" }, { "prune", "--older", "1d", "--dry-run" } }
    local alone = {}
    for index, arguments in ipairs(looks) do alone[index] = support.host(arguments, { cwd = folder }) end
    local host = support.start({ "serve" }, { cwd = folder })
    assert(support.read_until(host.stdout, "repl"))
    for index, arguments in ipairs(looks) do
      local what, served = table.concat(arguments, " "), support.host(arguments, { cwd = folder })
      assert.equal(alone[index].status, served.status, what)
      assert.equal(alone[index].stderr, served.stderr, what)
      assert.equal(alone[index].stdout, served.stdout, what)
    end
    host:kill "sigterm"
    host:wait(20)
    support.remove(folder)
  end)
end)

describe("a command about a store that no host has", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  it("is carried out by its own process, also when a socket was left behind", function()
    local stale = assert(uv.new_pipe(false))
    assert(uv.fs_mkdir(folder .. "/.weir", 448))
    assert(stale:bind(folder .. "/.weir/repl.sock"))
    local result = support.host({ "run", "hello", "--quiet" }, { cwd = folder })
    assert.equal("Hello, world!\n", result.stdout)
    stale:close()
  end)

  it("ends with 7 for --detach", function()
    local result = support.host({ "run", "hello", "--detach" }, { cwd = folder })
    assert.equal(7, result.status)
    assert.matches("weir serve", result.stderr, 1, true)
  end)
end)

describe("a command that was handed over to a host", function()
  it("is not carried out once more when what the host answers cannot be read", function()
    local folder, asked = support.folder(), nil
    assert(process.run { "mkdir", "-m", "700", folder .. "/.weir" })
    support.write(folder, "pipelines/reads.lua", READS)
    local listener = assert(socket.listen(folder .. "/.weir/repl.sock", function(connection)
      asked = json.decode(connection:read_line())
      connection:write "this is no answer\n"
      connection:close()
    end))
    local result = support.host({ "run", "reads", "--set", "text=twice" }, { cwd = folder })
    listener:close()
    assert.same({ "run", "reads", "--set", "text=twice" }, asked.arguments)
    assert.same({ 7, "" }, { result.status, result.stdout })
    assert.matches("could not be taken: .*; what it was asked to do goes on there", result.stderr)
    assert.is_nil(uv.fs_stat(folder .. "/.weir/data.mdb"))
    support.remove(folder)
  end)
end)
