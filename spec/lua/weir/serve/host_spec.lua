local json = require "weir.native.json"
local log_of = require "weir.log"
local native = require "weir.native.scheduler"
local serve = require "weir.serve"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"
local waking = require "weir.run.waking"

local WAITS = [[
local weir = require "weir"
return weir.pipeline "waits" { weir.step "paid" { wait = { signal = "paid" } }, output = "$.paid" }
]]
local NAPS = [[
local weir = require "weir"
return weir.pipeline "naps" {
  weir.step "first" { agent = "echo", input = "done" },
  weir.step "nap" { agent = "nap" },
  output = "$.first",
}
]]
-- Naps as long as there is no file `awake` in the project.
local NAP = [[
return { kind = "agent", name = "nap", api = 1, execute = function(ctx)
  for _ = 1, 3000 do
    local found = pcall(ctx.process, ctx, { "test", "-e", "awake" }, {})
    if found and ctx:process({ "test", "-e", "awake" }).status == 0 then return "woke" end
    ctx:sleep(0.02)
  end
end }
]]

describe("a host", function()
  local folder, host, lines
  before_each(function()
    folder, lines = support.folder(), {}
    support.write(folder, "pipelines/waits.lua", WAITS)
  end)
  after_each(function()
    if host then host:stop "the spec is over" end
    host = nil
    support.remove(folder)
  end)

  local function start(options)
    options = options or {}
    options.folder, options.http, options.env = folder, false, function() end
    options.logger = log_of.new { write = function(line) lines[#lines + 1] = json.decode(line) end }
    host = serve.start(options)
    return host
  end

  local function definition(name)
    return assert(host.project:load(folder .. "/pipelines/" .. name .. ".lua"))
  end

  it("tells its feed what runs do", function()
    start()
    local follower = host.feed:follow()
    local run = host.engine:start(definition "waits", {})
    assert.same({ "run", "running", "waits" }, { (function() local e = follower:next() return e.kind, e.data.status, e.data.pipeline end)() })
    local of_run, waits = host.feed:follow { run = run.id, kinds = { "run" } }, follower:next()
    while waits.kind ~= "waiting" do waits = follower:next() end
    assert.equal("paid", waits.data.name)
    waking.signal(host.engine, run.id, "paid", 7)
    assert.equal(run, run:wait())
    assert.equal(7, run.output)
    assert.equal("finished", of_run:next().data.status)
  end)

  it("says so when files cannot be watched, and tries it again", function()
    local port = require "weir.port.watch"
    local of, refusals = port.folder, 1
    port.folder = function(...) -- luacheck: ignore 122
      if refusals == 0 then return of(...) end
      refusals = refusals - 1
      return nil, "a folder: the system's limit of watches is reached", "limit"
    end
    finally(function() port.folder = of end) -- luacheck: ignore 122
    start { watch = true }
    local before = assert(host.project:pipeline "waits").version
    local deadline = task.now() + 60
    repeat -- until it is watched
      support.write(folder, "pipelines/waits.lua", (WAITS:gsub("paid", "paid" .. math.floor(task.now() * 1000))))
      task.sleep(0.1)
      assert(task.now() < deadline, "no change was loaded")
    until host.project:pipeline("waits").version ~= before
    local errors = {}
    for _, line in ipairs(lines) do
      if line.level == "error" then errors[#errors + 1] = line.code end
    end
    assert.same({ "limit" }, errors)
  end)

  it("goes on with what another life left parked, when it is woken", function()
    start()
    host.engine.patience = 0
    local run = host.engine:start(definition "waits", {})
    local watched = host.feed:follow { run = run.id, kinds = { "run" } }
    while watched:next().data.status ~= "waiting" do end
    host:stop "another life"
    start()
    local next_life = host.feed:follow { run = run.id, kinds = { "run" } }
    waking.signal(host.engine, run.id, "paid", "late")
    local event = next_life:next()
    while event.data.status == "running" do event = next_life:next() end
    assert.equal("finished", event.data.status)
    assert.equal("late", host.engine:rejoin(run.id).output)
  end)

  it("stops runs where they stand, and the next one goes on with them", function()
    support.write(folder, "pipelines/naps.lua", NAPS)
    support.write(folder, "modules/agents/nap.lua", NAP:gsub("awake", folder .. "/awake"))
    start()
    local run = host.engine:start(definition "naps", {})
    local follower = host.feed:follow { run = run.id, kinds = { "step" } }
    while follower:next().data.step ~= "nap" do end
    assert.is_true(host:stop "a stop")
    assert.equal("stopped", run.interrupted)
    support.write(folder, "awake", "")
    start()
    host.engine:rejoin(run.id):wait()
    local row = host.store:row(run.id)
    assert.equal("finished", row.status)
    local begun = 0
    for _, entry in ipairs((host.store:load(run.id))) do
      if entry[1] == "step" and entry[2] == "first" then begun = begun + 1 end
    end
    assert.is_true(begun <= 1)
  end)

  it("stops for all who say so, also when the first of them is cancelled over it", function()
    support.write(folder, "pipelines/naps.lua", NAPS)
    support.write(folder, "modules/agents/nap.lua", NAP)
    start()
    host.engine:start(definition "naps", {})
    local stops, own = {}, host
    for n = 1, 3 do stops[n] = native.spawn(own.stop, own, "a stop") end
    native.yield()
    stops[1]:cancel "it has other things to do"
    for n = 2, 3 do assert.same({ true, true }, { stops[n]:join() }) end
    assert.is_true(own.has_stopped)
    stops[1]:join()
  end)

  it("stops a run that is being woken meanwhile, and does not end it", function()
    start()
    host.engine.patience = 0
    local ids = {}
    for index = 1, 20 do
      local run = host.engine:start(definition "waits", {})
      run:await_left()
      ids[index] = run.id
    end
    for _, id in ipairs(ids) do waking.signal(host.engine, id, "paid", 1) end
    host:stop "while runs are woken"
    start()
    for _, id in ipairs(ids) do
      host.engine:rejoin(id):wait()
      assert.equal("finished", host.store:row(id).status)
    end
  end)

  it("takes no run once it stops", function()
    start()
    host.engine.is_stopping = true
    local ok, err = pcall(host.engine.start, host.engine, definition "waits", {})
    assert.is_false(ok)
    assert.equal("closed", err.code)
  end)

  it("says who has the store, and leaves it to them", function()
    local other = support.start({ "serve", "--json", "--listen", "off" }, { cwd = folder })
    local told = json.decode((support.read_until(other.stdout, "\n")))
    local ok, err = pcall(start)
    assert.is_false(ok)
    assert.equal("conflict", err.code)
    assert.matches(("process %d since"):format(told.process), err.message, 1, true)
    assert.matches("weir repl", err.message, 1, true)
    other:kill "sigterm"
    assert.equal(0, assert(other:wait(20)).status)
  end)

  it("loads changed modules, and keeps the version of one that is broken", function()
    local function agent(answer)
      support.write(folder, "modules/agents/say.lua", ('return { kind = "agent", name = "say", api = 1, execute = function() return %s end }')
        :format(answer))
    end
    agent '"one"'
    start()
    local before = assert(host.project.registry:lookup("agent", "say"))
    agent '"two"'
    local report = host:reload()
    assert.same({ "agents/say" }, { report.reloaded[1].name })
    agent '"three'
    report = host:reload()
    assert.equal("agents/say", report.failed[1].name)
    local now = host.project.registry:lookup("agent", "say")
    assert.not_equal(before.version, now.version)
    assert.equal("two", now.module.execute())
    assert.equal("error", lines[#lines].level)
  end)

  it("logs how runs end", function()
    start()
    local run = host.engine:start(definition "waits", {})
    task.yield()
    host.engine:cancel(run.id, "enough")
    local last = lines[#lines]
    assert.equal("run cancelled", last.message)
    assert.equal(run.id, last.run)
  end)
end)

describe("weir serve", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return { listen = false }\n")
  end)
  after_each(function() support.remove(folder) end)

  for _, signal in ipairs { "sigterm", "sigint" } do
    it(("stops at %s, with status 0 and its store free"):format(signal), function()
      local child = support.start({ "serve" }, { cwd = folder })
      local said = assert(support.read_until(child.stdout, "repl"))
      assert.matches("host  " .. folder, said, 1, true)
      assert.is_true(child:kill(signal))
      assert.equal(0, assert(child:wait(20)).status)
      assert.equal(0, support.host({ "runs" }, { cwd = folder }).status)
    end)
  end

  it("goes on with a run whose process was killed", function()
    support.write(folder, "pipelines/naps.lua", NAPS)
    support.write(folder, "modules/agents/nap.lua", NAP:gsub("awake", folder .. "/awake"))
    local first = support.start({ "run", "naps" }, { cwd = folder })
    assert(support.read_until(first.stderr, "first"))
    first:kill "sigkill"
    first:wait(20)
    support.write(folder, "awake", "")
    local host = support.start({ "serve" }, { cwd = folder, env = { WEIR_LOG = "debug" } })
    local said = support.read_until(host.stderr, "run finished")
    assert.matches("run goes on", said, 1, true)
    host:kill "sigterm"
    assert.equal(0, assert(host:wait(20)).status)
  end)

  it("loads changed modules at SIGHUP", function()
    local function agent(answer)
      support.write(folder, "modules/agents/say.lua", ('return { kind = "agent", name = "say", api = 1, execute = function() return "%s" end }')
        :format(answer))
    end
    agent "one"
    support.write(folder, "pipelines/says.lua", 'return require "weir".pipeline "says" { require "weir".step "x" { agent = "say" }, output = "$.x" }')
    local child = support.start({ "serve" }, { cwd = folder })
    assert(support.read_until(child.stdout, "repl"))
    assert.equal("one\n", support.host({ "run", "says" }, { cwd = folder }).stdout)
    agent "two"
    assert.equal("one\n", support.host({ "run", "says" }, { cwd = folder }).stdout)
    child:kill "sighup"
    assert(support.read_until(child.stderr, '"reloaded"'))
    assert.equal("two\n", support.host({ "run", "says" }, { cwd = folder }).stdout)
    child:kill "sigterm"
    assert.equal(0, assert(child:wait(20)).status)
  end)

  it("keeps every run that it has acknowledged, however often it is killed", function()
    local ids = {}
    for _ = 1, 4 do
      local child = support.start({ "serve" }, { cwd = folder })
      assert(support.read_until(child.stdout, "repl"))
      for _ = 1, 5 do
        local started = support.host({ "run", "hello", "--detach" }, { cwd = folder })
        assert.equal(0, started.status, started.stderr)
        ids[#ids + 1] = started.stdout:match "^(r_%w+)"
      end
      child:kill "sigkill"
      child:wait(20)
    end
    assert.equal(0, support.host({ "resume", "--quiet" }, { cwd = folder }).status)
    for _, id in ipairs(ids) do
      local line = support.lines(support.host({ "show", id, "--json" }, { cwd = folder }).stdout)[1]
      assert.equal("finished", line.status, id)
    end
  end)

  it("ends with 75 where the store cannot be opened", function()
    support.write(folder, "broken/data.mdb", ("no store at all "):rep(1000))
    local result = support.host({ "serve", "--store", "broken" }, { cwd = folder })
    assert.equal(75, result.status, result.stderr)
    assert.matches("broken", result.stderr)
  end)

  it("says in three lines where it stands", function()
    local child = support.start({ "dev" }, { cwd = folder })
    local said = assert(support.read_until(child.stdout, "repl[^\n]*\n"))
    assert.equal(3, select(2, said:gsub("\n", "")))
    assert.matches("^host  " .. folder:gsub("%p", "%%%0") .. ", store .*, process " .. child.pid .. "\nhttp  none.*\nrepl  weir attach ", said)
    child:kill "sigterm"
    child:wait(20)
  end)

  it("refuses a folder that is not there, and a setting that does not fit", function()
    local missing = support.host({ "serve", "nowhere" }, { cwd = folder })
    assert.equal(6, missing.status)
    local wrong = support.host({ "serve", "--listen", "80" }, { cwd = folder })
    assert.equal(2, wrong.status)
    assert.matches("--listen: ADDRESS:PORT expected", wrong.stderr, 1, true)
  end)

  it("says where it stands to programs", function()
    local child = support.start({ "dev", "--json" }, { cwd = folder })
    local told = json.decode((support.read_until(child.stdout, "\n")))
    assert.equal(folder, told.project)
    assert.equal(folder .. "/.weir", told.store)
    assert.equal(child.pid, told.process)
    child:kill "sigterm"
    child:wait(20)
  end)
end)
