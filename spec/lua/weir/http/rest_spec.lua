local approval = require "weir.approval"
local audit = require "weir.audit"
local http = require "weir.http"
local json = require "weir.native.json"
local process = require "weir.port.process"
local scheduler = require "weir.native.scheduler"
local schema_of = require "weir.schema"
local uv = require "luv"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

describe("the HTTP door", function()
  local world

  setup(function() world = worlds.new() end)
  teardown(function() world:close() end)

  local function ask(...) return world:ask(...) end

  describe("approvals", function()
    local function waiting(text)
      local id = ask("POST", "/api/runs", { pipeline = "ask", input = { text = text } }).value.run
      local found
      assert.is_true(wire.eventually(function()
        found = ask("GET", "/api/approvals?run=" .. id).value.items[1]
        return found
      end))
      return found, id
    end

    local function ended(id)
      local run
      assert.is_true(wire.eventually(function()
        run = ask("GET", "/api/runs/" .. id).value
        return run.status == "finished" or run.status == "failed"
      end))
      return run
    end

    it("lists what waits, and has the run go on with the decision", function()
      local asked, id = waiting "draft 1"
      assert.same({ "Publish?", "draft 1" }, { asked.title, asked.show })
      local answer = ask("POST", "/api/approvals/" .. asked.id, { decision = "approve", hash = asked.hash, comment = "fine" })
      assert.same({ 200, "approve" }, { answer.status, answer.value.decision })
      assert.equal("http", answer.value.given[1].via)
      assert.equal("approve", ended(id).output.decision)
      assert.equal("approve", ask("GET", "/api/approvals/" .. asked.id).value.decision)
    end)

    local function ids_of(page)
      local ids = {}
      for index, one in ipairs(page.items) do ids[index] = one.id end
      return ids
    end

    it("has another person decide in one's place", function()
      local asked = waiting "delegated"
      local answer = ask("POST", "/api/approvals/" .. asked.id .. "/delegate", { to = "zoe", by = "ada", ["until"] = "2100-01-01T00:00:00Z" })
      assert.same({ 200, "ada", "zoe" }, { answer.status, answer.value.delegated[1].by, answer.value.delegated[1].to })
      assert.equal(422, ask("POST", "/api/approvals/" .. asked.id .. "/delegate", { to = "zoe", ["until"] = "soon" }).status)
      assert.equal(422, ask("POST", "/api/approvals/" .. asked.id .. "/delegate", { to = "ada", by = "ada" }).status)
      assert.equal(200, ask("POST", "/api/approvals/" .. asked.id, { decision = "approve", by = "zoe" }).status)
      assert.equal(409, ask("POST", "/api/approvals/" .. asked.id .. "/delegate", { to = "zoe", by = "ada" }).status)
    end)

    it("refuses the second decision and says who was first", function()
      local asked = waiting "draft 2"
      assert.equal(200, ask("POST", "/api/approvals/" .. asked.id, { decision = "reject", by = "ada" }).status)
      local late = ask("POST", "/api/approvals/" .. asked.id, { decision = "approve" })
      assert.same({ 409, "conflict", "reject", "ada" }, { late.status, late.value.code, late.value.approval.decision,
        late.value.approval.given[1].by })
    end)

    it("refuses a decision on something else than is asked now", function()
      local asked = waiting "draft 3"
      local answer = ask("POST", "/api/approvals/" .. asked.id, { decision = "approve", hash = ("0"):rep(64) })
      assert.equal(409, answer.status)
      assert.truthy(approval.get(world.host.store, asked.id))
      assert.equal(422, ask("POST", "/api/approvals/" .. asked.id, { decision = "maybe" }).status)
      assert.equal(422, ask("POST", "/api/approvals/" .. asked.id, {}).status)
      assert.equal(200, ask("POST", "/api/approvals/" .. asked.id, { decision = "reject" }).status)
    end)

    it("decides many at once as of the moment at which they were listed, and none that came later", function()
      local ids = {}
      for n = 1, 3 do ids[n] = select(2, waiting("many " .. n)) end
      local page = ask("GET", "/api/approvals?pipeline=ask").value
      assert.equal(3, #page.items)
      local _, late = waiting "many 4"
      local where = { pipeline = "ask" }
      assert.equal(200, ask("POST", "/api/approvals/" .. ids_of(page)[1], { decision = "reject" }).status)
      local done = ask("POST", "/api/approvals", { decision = "approve", where = where, snapshot = page.snapshot })
      assert.same({ 200, 2 }, { done.status, #done.value.items })
      for _, item in ipairs(done.value.items) do assert.equal("approve", item.decision) end
      for _, id in ipairs(ids) do ended(id) end
      local left = ask("GET", "/api/approvals?pipeline=ask").value
      assert.same({ 1, late }, { #left.items, left.items[1].run })
      assert.equal(0, #ask("GET", "/api/approvals?pipeline=ask&snapshot=" .. page.snapshot).value.items)
      done = ask("POST", "/api/approvals", { decision = "approve", where = { pipeline = "ask", step = "release" }, snapshot = left.snapshot })
      assert.equal(1, #done.value.items)
      for _, wrong in ipairs { "x", "999999999999999999", "" } do
        assert.equal(422, ask("POST", "/api/approvals", { decision = "approve", where = where, snapshot = wrong }).status)
      end
    end)

    it("decides several that are named, each as it was shown, and none that came later", function()
      for n = 1, 3 do waiting("several " .. n) end
      local listed = ask("GET", "/api/approvals?pipeline=ask").value.items
      local function named(one) return { id = one.id, hash = one.hash } end
      local _, late = waiting "several, late"
      local of = { named(listed[1]), { id = listed[2].id, hash = ("0"):rep(64) }, named(listed[3]), { id = "a_00000000000000000000", hash = ("0"):rep(64) },
        named(listed[1]) }
      local done = ask("POST", "/api/approvals", { decision = "approve", comment = "fine", of = of })
      assert.equal(200, done.status)
      local seen = {}
      for index, item in ipairs(done.value.items) do
        assert.equal(of[index].id, item.id)
        seen[index] = item.decision ~= json.null and item.decision or item.error.code
      end
      assert.same({ "approve", "conflict", "approve", "not_found", "conflict" }, seen)
      assert.equal("approve", ended(listed[1].run).output.decision)
      local left = {}
      for _, one in ipairs(ask("GET", "/api/approvals?pipeline=ask").value.items) do left[one.run] = true end
      assert.same({ [listed[2].run] = true, [late] = true }, left)
      for _, body in ipairs { { decision = "approve" }, { decision = "approve", of = {} }, { decision = "approve", of = of, where = {} },
        { decision = "approve", where = {} }, { decision = "edit", of = of }, { decision = "approve", of = { { id = "a" } } } } do
        assert.equal(422, ask("POST", "/api/approvals", body).status)
      end
      for run in pairs(left) do ask("POST", ("/api/runs/%s/cancel"):format(run)) end
    end)

    it("knows no approval by a part of its id", function()
      local asked = waiting "draft 4"
      assert.equal(404, ask("GET", "/api/approvals/" .. asked.id:sub(1, 12)).status)
      assert.equal(404, ask("POST", "/api/approvals/a_00000000000000000000", { decision = "approve" }).status)
      ask("POST", "/api/approvals/" .. asked.id, { decision = "reject" })
    end)
  end)

  describe("the workspace", function()
    it("writes, reads, lists and deletes documents", function()
      local made = ask("PUT", "/api/workspace/project/notes%2Fone?type=note", { text = "a" })
      assert.same({ 200, '"1"', "/api/workspace/project/notes%2Fone" }, { made.status, made.headers.etag, made.headers.location })
      local got = ask("GET", made.headers.location)
      assert.same({ "notes/one", { text = "a" }, "note" }, { got.value.name, got.value.value, got.value.type })
      assert.equal(304, ask("GET", made.headers.location, nil, { ["If-None-Match"] = '"1"' }).status)
      assert.equal("notes/one", ask("GET", "/api/workspace/project?prefix=notes/").value.items[1].name)
      assert.equal(204, ask("DELETE", made.headers.location).status)
      assert.equal(404, ask("GET", made.headers.location).status)
      assert.equal(404, ask("DELETE", made.headers.location).status)
    end)

    it("writes only in the place of the version that is meant", function()
      local path = "/api/workspace/pipeline:hello/state"
      assert.equal(201, ask("PUT", path, { n = 1 }, { ["If-None-Match"] = "*" }).status)
      assert.equal(412, ask("PUT", path, { n = 1 }, { ["If-None-Match"] = "*" }).status)
      assert.equal(200, ask("PUT", path, { n = 2 }, { ["If-Match"] = '"1"' }).status)
      assert.equal(412, ask("PUT", path, { n = 3 }, { ["If-Match"] = '"1"' }).status)
      assert.equal(412, ask("DELETE", path, nil, { ["If-Match"] = '"1"' }).status)
      assert.equal(400, ask("PUT", path, { n = 3 }, { ["If-Match"] = "1" }).status)
      assert.equal(2, ask("GET", path).value.value.n)
      assert.equal(204, ask("DELETE", path, nil, { ["If-Match"] = '"2"' }).status)
    end)

    it("knows only scopes that there are", function()
      assert.equal(422, ask("GET", "/api/workspace/everything").status)
      assert.equal(422, ask("GET", "/api/workspace/run:").status)
    end)

    it("says of a name or a time that is too long that it will not do later either", function()
      for _, path in ipairs { ("x"):rep(300), "one?ttl=99999999d", "one?type=" .. ("x"):rep(150) } do
        local answer = ask("PUT", "/api/workspace/project/" .. path, { 1 })
        assert.same({ 422, "limit" }, { answer.status, answer.value.code })
        assert.is_nil(answer.headers["retry-after"])
      end
    end)

    it("writes what stands in the body, and nothing where there is none", function()
      local path = "/api/workspace/project/any"
      for _, text in ipairs { "null", "false", "[]", "{}", "0", '""' } do
        assert.equal(200, ask("PUT", path, text).status)
        assert.equal(text, json.encode(ask("GET", path).value.value))
      end
      local answer = ask("PUT", path)
      assert.same({ 400, "invalid" }, { answer.status, answer.value.code })
      assert.equal("", ask("GET", path).value.value)
    end)
  end)

  describe("the project", function()
    it("lists pipelines, also one that is broken, and shows one with the schema of its input", function()
      local by_name = {}
      for _, entry in ipairs(ask("GET", "/api/pipelines").value.items) do by_name[entry.name] = entry end
      assert.same({ true, "Greets." }, { by_name.hello.ok, by_name.hello.doc })
      assert.is_false(by_name.bad.ok)
      assert.matches("nobody_has_this", by_name.bad.errors[1].message)
      local one = ask("GET", "/api/pipelines/hello").value
      assert.equal("string", one.input.properties.name.type)
      assert.equal("greet", one.normal.groups[1].steps[1].name)
      assert.equal(404, ask("GET", "/api/pipelines/nothing").status)
    end)

    it("reloads a module and rolls it back, and says what is wrong with one that cannot be loaded", function()
      local path = world.folder .. "/modules/agents/said.lua"
      local function save(body)
        uv.fs_mkdir(world.folder .. "/modules/agents", 448)
        local file = assert(io.open(path, "w"))
        file:write(('local M = { kind = "agent", name = "said", api = 1 }\n%s\nreturn M\n'):format(body))
        file:close()
      end
      save "function M.execute() return 1 end"
      local first = ask("POST", "/api/modules/agent/said/reload", {})
      assert.equal(200, first.status, first.body)
      save "function M.execute() return 2 end"
      local second = ask("POST", "/api/modules/agent/said/reload", {}).value.reloaded[1]
      assert.same({ "agents/said", true }, { second.name, second.from ~= second.to })
      save "function M.execute( return 3 end"
      local broken = ask("POST", "/api/modules/agent/said/reload", {})
      assert.same({ 422, "invalid" }, { broken.status, broken.value.code })
      assert.matches("said.lua:2", broken.value.detail, 1, true)
      assert.matches("return 3", broken.value.report.failed[1].excerpt, 1, true)
      local back = ask("POST", "/api/modules/agent/said/rollback", {})
      assert.same({ 200, second.from }, { back.status, back.value.to })
      local shown = ask("GET", "/api/modules/agent/said").value
      assert.same({ second.from, true }, { shown.version, shown.active })
      assert.is_true(#shown.versions >= 1)
      assert.equal(404, ask("POST", "/api/modules/agent/nobody/rollback", {}).status)
    end)

    it("lists modules by kind, and shows one", function()
      local found = ask("GET", "/api/modules?kind=critic").value.items
      assert.is_true(#found >= 2)
      for _, entry in ipairs(found) do assert.equal("critic", entry.kind) end
      assert.equal("echo", ask("GET", "/api/modules/agent/echo").value.name)
      assert.equal(404, ask("GET", "/api/modules/agent/nobody").status)
      assert.equal(404, ask("GET", "/api/modules/robot/echo").status)
      assert.equal(422, ask("GET", "/api/modules?kind=robot").status)
    end)

    it("loads a module again, keeps what serves when that fails, and rolls back", function()
      local function write(text)
        uv.fs_mkdir(world.folder .. "/modules/agents", 448)
        local file = assert(io.open(world.folder .. "/modules/agents/greeter.lua", "w"))
        file:write(text)
        file:close()
      end
      local text = "return { kind = 'agent', name = 'greeter', api = 1, execute = function() return '%s' end }"
      write(text:format "one")
      local first = ask("GET", "/api/modules/agent/greeter").value
      assert.is_true(first.active)
      write(text:format "two")
      local done = ask("POST", "/api/modules/agent/greeter/reload")
      assert.same({ 200, "agents/greeter", first.version }, { done.status, done.value.reloaded[1].name, done.value.reloaded[1].from })
      write "return {"
      local broken = ask("POST", "/api/modules/agent/greeter/reload")
      assert.equal(422, broken.status)
      assert.equal(1, broken.value.report.failed[1].line)
      assert.equal(done.value.reloaded[1].to, ask("GET", "/api/modules/agent/greeter").value.version)
      local back = ask("POST", "/api/modules/agent/greeter/rollback")
      assert.same({ 200, first.version }, { back.status, back.value.to })
      assert.equal(404, ask("POST", "/api/modules/agent/greeter/rollback").status)
      assert.equal(404, ask("POST", "/api/modules/agent/nobody/reload").status)
      local records = audit.list(world.host.store)
      assert.same({ "rollback", "http", "local" }, { records[#records].value.action, records[#records].value.via, records[#records].value.by })
    end)
  end)

  describe("what the host says of itself", function()
    it("says without a token that it lives and takes work", function()
      for _, path in ipairs { "/healthz", "/readyz" } do
        assert.same({ status = "ok" }, ask("GET", path, nil, { Authorization = false }).value)
      end
      assert.equal(200, ask("HEAD", "/healthz").status)
    end)

    it("says that it takes no more work while it stops", function()
      world.host.engine.is_stopping = true
      local answer = ask("GET", "/readyz")
      local refused = ask("POST", "/api/runs", { pipeline = "hello" })
      world.host.engine.is_stopping = nil
      assert.same({ 503, "5" }, { answer.status, answer.headers["retry-after"] })
      assert.same({ 503, "closed" }, { refused.status, refused.value.code })
    end)

    it("counts runs and steps in the text format of Prometheus", function()
      local function count(text, pattern) return tonumber(text:match(pattern .. " (%d+)")) or 0 end
      local before = ask("GET", "/metrics").body
      ask("POST", "/api/runs?wait=30s", { pipeline = "hello" })
      local series = 'weir_runs_total{pipeline="hello",state="finished"}'
      assert.is_true(wire.eventually(function() return count(ask("GET", "/metrics").body, series) == count(before, series) + 1 end))
      local answer = ask("GET", "/metrics")
      assert.equal("text/plain; version=0.0.4; charset=utf-8", answer.headers["content-type"])
      assert.is_true(count(answer.body, 'weir_step_duration_seconds_count{pipeline="hello"}') >= 1)
      assert.is_true(count(answer.body, 'weir_checkpoint_seconds_bucket{le="%+Inf"}') >= 1)
      for line in answer.body:gmatch "[^\n]+" do
        assert.is_true(line:find "^# HELP [%l_]+ %u" ~= nil or line:find "^# TYPE [%l_]+ %l+$" ~= nil
          or line:find "^[%l_]+ [%d.e+-]+$" ~= nil or line:find '^[%l_]+{[%l_]+=".*"} [%d.e+-]+$' ~= nil, line)
        assert.is_nil(line:find '"r_%w+"')
      end
      for line in answer.body:gmatch "weir_step_duration_seconds_bucket[^\n]+" do assert.matches('le="[%d.+Inf]+"', line) end
    end)

    it("counts how full streams between steps are, and how long steps waited for their readers", function()
      local support = dofile "spec/lua/weir/cli/support.lua"
      support.write(world.folder, "modules/agents/talk.lua", [[
return { kind = "agent", name = "talk", api = 1, execute = function(ctx) for i = 1, 20 do ctx:emit(i) end return true end }
]])
      local word = world.folder .. "/go_on"
      support.write(world.folder, "modules/agents/slow.lua", ([[
return { kind = "agent", name = "slow", api = 1, execute = function(ctx)
  for _ in ctx:items() do
    while not require("weir.port.files").read "%s" do ctx:sleep(0.02) end
  end
  return true
end }
]]):format(word))
      support.write(world.folder, "pipelines/streams.lua", [[
local weir = require "weir"
return weir.pipeline "streams" { weir.group "g" { weir.step "talk" { agent = "talk", stream = { buffer = 2 } },
  weir.step "slow" { agent = "slow", from = "talk" } } }
]])
      local id = ask("POST", "/api/runs", { pipeline = "streams" }).value.run
      assert.is_true(wire.eventually(function()
        return ask("GET", "/metrics").body:match 'weir_channel_depth{channel="streams/talk"} ([12])\n' ~= nil
      end))
      scheduler.sleep(0.2)
      support.write(world.folder, "go_on", "now")
      assert.is_true(wire.eventually(function() return ask("GET", "/api/runs/" .. id).value.status == "finished" end))
      local text = ask("GET", "/metrics").body
      assert.is_true(tonumber(text:match 'weir_channel_blocked_seconds_total{[^}]*} ([%d.e+-]+)') > 0.1)
      assert.is_nil(text:find('weir_channel_depth{channel="streams/talk"}', 1, true))
    end)

    it("counts plans, and shows them in the run that made them", function()
      local input = { folder = "docs", out = "report_of_a_spec.md" }
      local line = ask("POST", "/api/runs?wait=60s", { pipeline = "report", input = input }).value
      local series = 'weir_plans_total{pipeline="report",planner="rules",state="planned"} 1'
      assert.is_true(wire.eventually(function() return ask("GET", "/metrics").body:find(series, 1, true) ~= nil end))
      local shown = ask("GET", "/api/runs/" .. line.run).value
      assert.same({ "report/plan/", "rules" }, { shown.plans[1].prefix, shown.plans[1].planner })
      assert.is_table(shown.plans[1].normal.groups)
      local page = ask("GET", "/api/goals?limit=1").value
      local goal = page.items[1]
      assert.same({ line.run, line.status, 1, goal.goal }, { goal.run, goal.status, goal.plans, page.next })
      assert.same({ items = json.list {}, next = json.null }, ask("GET", "/api/goals?cursor=" .. goal.goal).value)
      local whole = ask("GET", "/api/goals/" .. goal.goal).value
      assert.match("one report", whole.says, 1, true)
      assert.match("folder_documents(", table.concat(whole.plans[1].steps, "\n"), 1, true)
      assert.equal(404, ask("GET", "/api/goals/g_zz").status)
    end)

    it("tells of skills: what they may do, how their calls went", function()
      assert.equal(404, ask("GET", "/api/skills/read_csv").status)
      assert.same({ items = json.list {}, next = json.null }, ask("GET", "/api/skills").value)
      local id = ask("POST", "/api/runs", { pipeline = "rainfall", input = {} }).value.run
      assert.is_true(wire.eventually(function() return ask("GET", "/api/runs/" .. id).value.status == "finished" end))
      local row = ask("GET", "/api/skills").value.items[1]
      assert.same({ "read_csv", "shadow", 1, 1 }, { row.name, row.state, row.calls, row.good })
      assert.equal("approve", ask("GET", "/api/skills/read_csv").value.versions[1].trial.verdict)
      local text = ask("GET", "/metrics").body
      assert.match('weir_skill_calls_total{skill="read_csv",version="1.0.0",result="good"} 1', text, 1, true)
      assert.match('weir_skills{state="shadow"} 1', text, 1, true)
    end)

    it("reflects on runs as they finish, counts what is proposed, and shows it with the run", function()
      local file = assert(io.open(world.folder .. "/pipelines/wordy.lua", "w"))
      file:write([[return require("weir").pipeline "wordy" {
        input = { text = "string = The tide came in. The boats rose with it. The net was full." },
        require("weir").step "short" { agent = "summarize", options = { words = 4, method = "lead" }, input = { text = "$.input.text" } },
        output = { words = "$.short.words" },
        reflect = { use = "tune", options = { vary = { { step = "short", option = "words", values = { 4, 9 } } } },
          metric = "$.output.words", approve = "auto", examples = { { text = "One is few. Two are more." } } } }]])
      file:close()
      local id = ask("POST", "/api/runs?wait=60s", { pipeline = "wordy", input = {} }).value.run
      local series = 'weir_candidates{pipeline="wordy",state="kept"} 1'
      assert.is_true(wire.eventually(function() return ask("GET", "/metrics").body:find(series, 1, true) ~= nil end))
      assert.is_true(#ask("GET", "/api/runs/" .. id).value.candidates > 0)
      local one = ask("GET", "/api/candidates?pipeline=wordy").value.items[1]
      assert.same({ "kept", "rule" }, { one.state, one.by })
      local whole = ask("GET", "/api/candidates/" .. one.id).value
      for name, value in pairs(one) do assert.same(value, whole[name]) end
      assert.same({ 4, 9 }, { whole.before.groups[1].steps[1].options.words, whole.after.groups[1].steps[1].options.words })
      assert.match("/options/words", whole.changes[1], 1, true)
      local page = ask("GET", "/api/candidates?limit=1").value
      assert.same({ 1, page.items[1].id }, { #page.items, page.next })
      assert.equal(422, ask("GET", "/api/candidates?cursor=wordy/").status)
      assert.equal(404, ask("GET", "/api/candidates/c_0").status)
      assert.equal(404, ask("GET", "/api/candidates/nothing").status)
      assert.is_true(wire.eventually(function()
        return ask("GET", "/api/runs?pipeline=wordy-reflection").value.items[1].status == "finished"
      end))
    end)

    it("has metrics that promtool finds nothing wrong with", function()
      if process.run({ "sh", "-c", "command -v promtool" }).status ~= 0 then return pending "promtool is not installed" end
      local result = process.run({ "promtool", "check", "metrics" }, { stdin = ask("GET", "/metrics").body })
      assert.equal(0, result.status, result.stdout .. result.stderr)
    end)

    it("describes every route, and what it describes leads somewhere", function()
      local text = ask("GET", "/api/openapi.json")
      assert.equal(200, text.status)
      local described = text.value
      local count = 0
      for _, route in ipairs(http.routes()) do
        local operation = described.paths[route.path][route.method:lower()]
        assert.equal(route.role, operation["x-weir-role"])
        count = count + 1
      end
      assert.equal("3.1.0", described.openapi)
      assert.is_true(count > 25)
      for name in text.body:gmatch '"#/components/schemas/(%w+)"' do assert.truthy(described.components.schemas[name], name) end
      local ids = {}
      for id in text.body:gmatch '"operationId":"(.-)"' do
        assert.is_nil(ids[id])
        ids[id] = true
      end
    end)

    it("answers as it is described", function()
      local described = ask("GET", "/api/openapi.json").value
      local function check(name, value)
        local fits = assert(schema_of.compile({ ["$ref"] = "#/components/schemas/" .. name, components = described.components }))
        local ok, errors = fits(value, name)
        assert.is_true(ok, errors and errors[1].message)
      end
      local run = ask("POST", "/api/runs?wait=30s", { pipeline = "hello" })
      check("RunLine", run.value)
      check("Run", ask("GET", "/api/runs/" .. run.value.run).value)
      check("Problem", ask("GET", "/api/nothing").value)
      check("Problem", ask("POST", "/api/runs", { pipeline = 3 }).value)
      check("Health", ask("GET", "/healthz").value)
      for _, entry in ipairs(ask("GET", "/api/runs").value.items) do check("RunLine", entry) end
      for _, entry in ipairs(ask("GET", "/api/modules").value.items) do check("Module", entry) end
      for _, entry in ipairs(ask("GET", "/api/pipelines").value.items) do check("Pipeline", entry) end
      assert.equal("null", json.encode(ask("GET", "/api/modules").value.next))
    end)
  end)
end)
