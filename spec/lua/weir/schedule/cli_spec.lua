-- weir schedule, without a host and through one.
local cli = dofile "spec/lua/weir/cli/support.lua"

local PIPELINE = [[
weir: 1
name: digest
on:
  - schedule: {cron: "0 8 * * mon-fri", tz: Europe/Berlin, overlap: buffer_one}
    name: morning
  - schedule: {every: 1h, start: "2026-01-01T00:00:00Z"}
    name: hourly
groups:
  - {name: nap, steps: [{name: nap, agent: echo, input: done}]}
]]

describe("weir schedule", function()
  local folder
  before_each(function()
    folder = cli.folder()
    cli.write(folder, "weir.lua", "return {}\n")
    cli.write(folder, "pipelines/digest.yaml", PIPELINE)
  end)
  after_each(function() cli.remove(folder) end)

  local function run(...)
    return cli.host({ "schedule", ... }, { cwd = folder })
  end

  local function lines(...)
    local done = run(...)
    assert.equal(0, done.status, done.stderr)
    return cli.lines(done.stdout)
  end

  it("lists the schedules of the project, also where nothing was ever served", function()
    local found = lines("list", "--json")
    assert.same({ "digest/hourly", "digest/morning" }, { found[1].name, found[2].name })
    assert.same({ "every 1h", "0 8 * * mon-fri" }, { found[1].says, found[2].says })
    assert.matches("T08:00:00%+0[12]:00$", found[2].next_local)
    local done = run "list"
    assert.matches("^SCHEDULE +WHEN +ZONE +NEXT", done.stdout)
    assert.matches("\ndigest/morning +0 8 %* %* mon%-fri +Europe/Berlin", done.stdout)
  end)

  it("previews the next times of any stretch, with what overlaps", function()
    local items = lines("preview", "digest/morning", "--from", "2026-03-27", "--to", "2026-03-31", "--json")
    assert.same({ "2026-03-27T08:00:00+01:00", "2026-03-30T08:00:00+02:00" }, { items[1]["local"], items[2]["local"] })
    items = lines("preview", "digest/hourly", "--from", "2026-03-27", "--count", "4", "--duration", "90m", "--json")
    assert.same({ "start", "skip", "start", "skip" }, { items[1].outcome, items[2].outcome, items[3].outcome, items[4].outcome })
    local done = run("preview", "digest/hourly", "--from", "2026-03-27", "--count", "2", "--duration", "90m")
    assert.matches("2026%-03%-27 01:00:00 %+00:00 +skip +an earlier run goes on", done.stdout)
    assert.matches("if a run takes 1h30m", done.stderr)
  end)

  it("previews from and to any year, and runs that take longer than years have digits", function()
    for _, from in ipairs { "0001-01-01", "1900-01-01", "2038-01-19", "2100-02-28", "9999-12-30" } do
      local done = run("preview", "digest/hourly", "--from", from, "--count", "3", "--duration", "99999999999d")
      assert.equal(0, done.status, done.stderr)
      assert.matches("\n%d%d%d%d%-%d%d%-%d%d %d%d:00:00 %+00:00 +start", done.stdout)
    end
  end)

  it("pauses, resumes and triggers without a host; what is to start waits for one", function()
    assert.matches("digest/morning  paused", run("pause", "digest/morning", "--why", "holidays").stdout)
    assert.matches("is paused already", run("pause", "digest/morning").stdout)
    assert.matches("paused", run("list").stdout)
    local line = lines("resume", "digest/morning", "--json")[1]
    assert.same({ true, 0 }, { line.changed, line.passed })
    local done = run("trigger", "digest/morning")
    assert.matches("starts a run", done.stdout)
    assert.matches("no host serves this project", done.stderr)
    assert.equal(1, lines("list", "--json")[2].waiting)
  end)

  it("names a schedule by its name, by its pipeline where that has one, and by the beginning of its id", function()
    local id = lines("list", "--json")[1].id
    assert.equal(0, run("history", id).status)
    assert.equal(0, run("history", id:sub(1, 8)).status)
    local done = run("history", "digest")
    assert.equal(6, done.status)
    assert.matches("there is no schedule 'digest'", done.stderr)
    done = run("history", "digest/mornin")
    assert.equal(6, done.status)
    assert.matches("did you mean 'digest/morning'", done.stderr)
  end)

  it("refuses what does not fit", function()
    for _, case in ipairs { { { "preview" }, "takes a SCHEDULE" }, { { "list", "digest" }, "takes no SCHEDULE" },
      { { "pause", "digest/morning", "--from", "2026-01-01" }, "takes no %-%-from" },
      { { "backfill", "digest/morning" }, "needs %-%-from TIME and %-%-to TIME" },
      { { "backfill", "digest/morning", "--from", "x", "--to", "2026-01-01" }, "from: a time such as" },
      { { "preview", "digest/morning", "--from", "soon" }, "%-%-from: a time such as" } } do
      local done = run(table.unpack(case[1]))
      assert.equal(2, done.status, case[2])
      assert.matches(case[2], done.stderr)
    end
  end)

  it("is carried out by the host that has the store, which starts what is asked for", function()
    local host = cli.start({ "serve", "--json", "--listen", "off" }, { cwd = folder })
    assert(cli.read_until(host.stdout, "\n"))
    local line = lines("trigger", "digest/morning", "--json")[1]
    assert.equal("start", line.action)
    assert.equal(3, #lines("backfill", "digest/hourly", "--from", "2026-01-05T01:00:00Z", "--to", "2026-01-05T03:00:00Z", "--json")[1].times)
    local rows
    for _ = 1, 200 do
      rows = lines("history", "digest/hourly", "--json")
      if #rows == 3 and rows[1].status == "finished" then break end
      require("weir.port.clock").sleep(0.05)
    end
    assert.same({ 3, "finished", "backfill", "started" }, { #rows, rows[1].status, rows[1].kind, rows[1].outcome })
    assert.matches("\n2026%-01%-05 01:00:00 %+00:00 +backfill +started +r_%w+ +finished", run("history", "digest/hourly").stdout)
    assert.matches("finished 3, started 3", run("list").stdout)
    assert.matches("started [%d-]+ [%d:]+ by schedule digest/hourly, version", cli.host({ "show", rows[1].run }, { cwd = folder }).stdout)
    host:kill "sigterm"
    assert.equal(0, assert(host:wait(20)).status)
  end)
end)
