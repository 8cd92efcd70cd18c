local clock = require "weir.port.clock"
local gate = require "weir.gate"
local manifest_of = require "weir.skill.manifest"
local native = require "weir.native.scheduler"
local policy = require "weir.skill.policy"
local shelf = require "weir.skill.shelf"
local support = dofile "spec/lua/weir/skill/support.lua"
local weir = require "weir"

local UNSTEADY = "return { execute = function(ctx, input) if input.n < 0 then error 'boom' end return { double = input.n * 2 } end }\n"

describe("a skill", function()
  local place
  before_each(function() place = support.place() end)
  after_each(function() place:close() end)

  it("is found by what is needed, tried, registered, and called by name like any agent", function()
    place:add()
    local version = place:learn "double a number"
    assert.equal("shadow", version.state)
    assert.same({ double = 8 }, (place:call("double", { n = 4 })))
  end)

  it("has name, description, version, author, tests and permissions on record, and where it came from", function()
    local manifest, source, folder = place:add { grants = { clock = true } }
    place:learn "double a number"
    local version = assert(shelf.serving(place.store, "double"))
    assert.same(manifest.tests, version.manifest.tests)
    assert.equal(manifest.description, version.manifest.description)
    assert.equal(source, version.source)
    assert.equal("ada", version.by)
    assert.equal("approve", version.trial.verdict)
    assert.same({ kind = "folder", place = folder:gsub("/double$", ""), at = "double" }, version.origin)
    assert.same({ "know what time it is" }, shelf.name(place.store, "double").given)
  end)

  it("is registered in one transaction: code, description, tests, verdict, index and audit, or none of it", function()
    place:add()
    local tried = assert(place.scout:try(place:candidate "double a number"))
    local batch, operations = place.store.batch, nil
    local package = shelf.package(place.store, tried.hash)
    local standing = setmetatable({ batch = function(_, list)
      operations = list
      return nil, "the disk is full", "full"
    end }, { __index = function(_, name) return function(_, ...) return place.store[name](place.store, ...) end end })
    local ok, err = pcall(shelf.register, standing, { manifest = package.manifest, source = package.source, trial = package.trial,
      origin = package.origin, by = "ada" })
    assert.is_false(ok)
    assert.equal("full", err.code)
    assert.is_nil(shelf.name(place.store, "double"))
    assert.same({}, shelf.speaking_of(place.store, { "double" }))
    assert.is_true(batch(place.store, operations) ~= nil) -- all of it, once
    assert.equal(tried.hash, shelf.name(place.store, "double").shadow)
    assert.equal(tried.trial.proof, shelf.version(place.store, tried.hash).trial.proof)
    assert.is_not_nil(shelf.speaking_of(place.store, { "double" }).double)
    assert.equal("register skill", place:audit()[1].action)
  end)

  it("is not learned a second time: what is known is found again, also in other words", function()
    place:add()
    place:learn "double a number"
    assert.same({ name = "double", kind = "skill" }, place.scout:find("double a number").known)
    assert.same({ name = "double", kind = "skill" }, place.scout:find({ name = "double" }).known)
    assert.same({ name = "echo", kind = "agent" }, place.scout:find({ name = "echo" }).known)
    assert.equal(0, #place.scout:find("double a number").candidates)
  end)

  it("is not taken under another name when its code is known", function()
    place:add()
    place:learn "double a number"
    place:add({ name = "twice", description = "Makes two of one, twice as much" })
    local _, message, code = place.scout:try(place:candidate "twice as much")
    assert.equal("conflict", code)
    assert.match("is the skill 'double' under another name", message, 1, true)
  end)

  it("takes the place of no agent", function()
    place:add { name = "echo", description = "Gives back what it gets, as an echo would" }
    local candidate = require("weir.skill.find").candidates(place.scout, { name = "echo" })[1]
    local _, message, code = place.scout:try(candidate)
    assert.equal("conflict", code)
    assert.match("takes nobody's place", message, 1, true)
  end)

  it("is promoted once enough of its calls were good", function()
    place:add()
    local version = place:learn "double a number"
    for _ = 1, 2 do place:call("double", { n = 1 }) end
    assert.equal("shadow", shelf.version(place.store, version.hash).state)
    place:call("double", { n = 1 })
    assert.equal("active", shelf.version(place.store, version.hash).state)
    assert.same({ calls = 3, good = 3, recent = "111" }, shelf.counts(place.store, version.hash))
    assert.equal("promote skill", place:audit()[2].action)
  end)

  it("is taken out of service when too many of its calls fail, with the cause on record", function()
    place:add({}, UNSTEADY)
    local version = place:learn "double a number"
    for _, n in ipairs { 1, 1, 1, -1, -1, -1, -1 } do place:call("double", { n = n }) end
    local after = shelf.version(place.store, version.hash)
    assert.equal("demoted", after.state)
    assert.match("3 of its last 7 calls were good", after.cause, 1, true)
    local _, err = place:call("double", { n = 1 })
    assert.equal("denied", err.code)
    assert.match("was demoted: 3 of its last 7", err.message, 1, true)
    assert.is_nil(shelf.serving(place.store, "double"))
  end)

  it("does not count it against a skill that its input was bad", function()
    place:add({}, "return { execute = function(ctx, input) if not input.n then return nil, 'no n', 'invalid' end return { double = input.n * 2 } end }\n")
    place:add({ version = "1.0.1", tests = { { name = "two", input = { n = 2 }, output = { double = 4 } }, { name = "none", input = {}, error = "invalid" } } },
      "return { execute = function(ctx, input) if not input.n then return nil, 'no n', 'invalid' end return { double = input.n * 2 } end } --\n")
    local version = place:learn "double a number"
    for _ = 1, 5 do
      local _, err = place:call("double", {})
      assert.equal("invalid", err.code)
    end
    assert.same({ calls = 0, good = 0, recent = "" }, shelf.counts(place.store, version.hash))
  end)

  it("that lies about what it gives fails, and that counts", function()
    place:add({}, "return { execute = function(ctx, input) if input.n == 2 then return { double = 4 } end return { double = 'many' .. input.n } end }\n")
    local version = place:learn "double a number"
    local _, err = place:call("double", { n = 7 })
    assert.equal("failed", err.code)
    assert.match("does not give what its manifest says", err.message, 1, true)
    assert.equal("0", shelf.counts(place.store, version.hash).recent)
  end)

  it("in a later version runs beside the active one, unseen, until it is promoted in the running host", function()
    place:add()
    local first = place:learn "double a number"
    for _ = 1, 3 do place:call("double", { n = 1 }) end
    place:add({ version = "1.1.0" }, "return { execute = function(ctx, input) return { double = input.n + input.n } end }\n")
    local candidates = require("weir.skill.find").candidates(place.scout, { name = "double" })
    local tried = assert(place.scout:try(candidates[1]))
    local second = place.scout:register(tried.hash)
    assert.equal("shadow", second.state)
    assert.equal(first.hash, shelf.serving(place.store, "double").hash)
    for n = 1, 3 do assert.same({ double = 2 * n }, (place:call("double", { n = n }))) end
    assert.equal("active", shelf.version(place.store, second.hash).state)
    assert.equal("replaced", shelf.version(place.store, first.hash).state)
    assert.same({ double = 10 }, (place:call("double", { n = 5 })))
    assert.equal(4, shelf.counts(place.store, second.hash).calls)
  end)

  it("in a later version that does something else is taken out, and nobody has seen what it gave", function()
    place:add()
    local first = place:learn "double a number"
    for _ = 1, 3 do place:call("double", { n = 1 }) end
    place:add({ version = "2.0.0" }, "return { execute = function(ctx, input) return { double = input.n == 2 and 4 or input.n - input.n % 1 + 1 } end }\n")
    local tried = assert(place.scout:try(require("weir.skill.find").candidates(place.scout, { name = "double" })[1]))
    local second = place.scout:register(tried.hash)
    for n = 3, 6 do assert.same({ double = 2 * n }, (place:call("double", { n = n }))) end
    assert.equal("demoted", shelf.version(place.store, second.hash).state)
    assert.equal(first.hash, shelf.serving(place.store, "double").hash)
  end)

  it("gives way to the version before when it fails after its promotion", function()
    place:add()
    local first = place:learn "double a number"
    for _ = 1, 3 do place:call("double", { n = 1 }) end
    place:add({ version = "1.1.0" }, UNSTEADY)
    local second = place.scout:register(assert(place.scout:try(require("weir.skill.find").candidates(place.scout, { name = "double" })[1])).hash)
    for n = 1, 3 do place:call("double", { n = n }) end
    assert.equal("active", shelf.version(place.store, second.hash).state)
    for _ = 1, 4 do place:call("double", { n = -1 }) end
    assert.equal("demoted", shelf.version(place.store, second.hash).state)
    assert.equal("active", shelf.version(place.store, first.hash).state)
    assert.same({ double = -2 }, (place:call("double", { n = -1 })))
  end)

  it("goes on in a run that is pinned to it, after another version was promoted", function()
    place:add()
    place:learn "double a number"
    local started
    local definition = assert(place.project:check(weir.flow "twice" { function(run)
      local before = run:step "before" { agent = "double", input = { n = 2 } }
      if not started then
        started = true
        for _ = 1, 3 do place:call("double", { n = 1 }) end
        place:add({ version = "1.1.0" }, "return { execute = function(ctx, input) return { double = input.n * 2, } end } -- later\n")
        local tried = assert(place.scout:try(require("weir.skill.find").candidates(place.scout, { name = "double" })[1]))
        shelf.promote(place.store, place.scout:register(tried.hash).hash, "ada")
      end
      local after = run:step "after" { agent = "double", input = { n = 3 } }
      return { before.double, after.double }
    end }))
    local run = place.engine:run(definition, {})
    assert.same({ 4, 6 }, run.output)
    local first = shelf.versions(place.store, "double")[1]
    assert.equal("replaced", first.state)
    assert.equal(5, shelf.counts(place.store, first.hash).calls)
  end)

  it("is removed: nothing serves, also in runs that are pinned to it, and the record says who and why", function()
    place:add()
    local version = place:learn "double a number"
    assert.equal(1, place.scout:remove("double", "we have our own"))
    assert.is_nil(shelf.name(place.store, "double"))
    assert.equal("removed", shelf.version(place.store, version.hash).state)
    assert.same({}, shelf.speaking_of(place.store, { "double", "number" }))
    local _, err = place:call("double", { n = 1 })
    assert.equal("denied", err.code)
    assert.match("we have our own", err.message, 1, true)
    local last = place:audit()[2]
    assert.same({ "remove skill", "ada", "we have our own" }, { last.action, last.by, last.to })
    assert.equal("not_found", select(2, pcall(place.scout.remove, place.scout, "double", "x")).code)
  end)

  it("serves as the store says last, whichever of two changes is loaded first", function()
    place:add()
    local first = place:learn "double a number"
    shelf.promote(place.store, first.hash, "ada")
    native.use_virtual_clock(1)
    local registry = place.project.registry
    assert.same({ double = 2 }, (place:call("double", { n = 1 })))
    local manifest, source = support.package({ version = "2.0.0" },
      "return { execute = function(ctx, input) return { double = input.n + input.n } end }\n")
    local second = shelf.register(place.store, { manifest = manifest, source = source, trial = { cases = {} },
      origin = { kind = "folder", place = "skills", at = "double" }, by = "ada" })
    local load_aside, held = registry.load_aside, gate.new()
    registry.load_aside = function(...)
      registry.load_aside = load_aside
      local entry, err = load_aside(...) -- of the version that serves by now
      held:wait "the spec"
      return entry, err
    end
    local slow = native.spawn(policy.refresh, place.engine, "double")
    native.yield()
    shelf.promote(place.store, second.hash, "ada")
    local quick = native.spawn(policy.refresh, place.engine, "double")
    quick:join(5)
    held:open()
    assert(slow:join())
    assert(quick:join())
    native.use_real_clock()
    assert.equal(second.hash, registry:lookup("agent", "double").module.skill)
  end)

  it("is removed with a version that is registered at the same moment", function()
    place:add()
    place:learn "double a number"
    place:add({ version = "2.0.0" }, nil, "double")
    local manifest, source = support.package { version = "2.0.0" }
    local registering = native.spawn(shelf.register, place.store, { manifest = manifest, source = source, trial = { cases = {} },
      origin = { kind = "folder", place = "skills", at = "double" }, by = "ada" })
    local removing = native.spawn(shelf.remove, place.store, "double", { cause = "it is not wanted", by = "ada" })
    assert(registering:join())
    local _, count = removing:join()
    assert.equal(2, count)
    for _, version in ipairs(shelf.versions(place.store)) do assert.equal("removed", version.state) end
    assert.same({}, shelf.names(place.store))
  end)

  it("holds its state, source and options apart from every other call", function()
    place:add({ options = { plus = "integer = 0" } }, [[
local calls = 0
return { execute = function(ctx, input) calls = calls + 1 return { double = input.n * 2 + ctx.options.plus + calls - 1 } end }
]])
    place:learn "double a number"
    assert.same({ double = 4 }, (place:call("double", { n = 2 })))
    assert.same({ double = 4 }, (place:call("double", { n = 2 })))
    assert.same({ double = 14 }, (place:call("double", { n = 2 }, { plus = 10 })))
  end)

  it("has a hash that stands for all of it: another byte anywhere gives another one", function()
    local manifest = support.package()
    local before = manifest_of.hash(manifest)
    assert.equal(before, manifest_of.hash((support.package())))
    for _, change in ipairs { { description = "Doubles a number, nothing else." }, { grants = { clock = true } }, { version = "1.0.1" },
      { tests = {} } } do
      assert.not_equal(before, manifest_of.hash((support.package(change))))
    end
    assert.not_equal(before, manifest_of.hash((support.package({}, "return {}"))))
  end)

  it("that was not taken is forgotten after its time, and what was fetched and never registered after thirty days", function()
    local manifest, source = place:add()
    local hash = shelf.keep_package(place.store, { manifest = manifest, source = source, origin = { kind = "folder", place = "x" } })
    for n = 1, 30 do
      shelf.refuse(place.store, { hash = ("%064x"):format(n), name = "double", cause = "it does not work", code = "failed", seconds = n * 100,
        environment = "e" })
    end
    local now_ms = clock.wall_ms()
    assert.equal(25, shelf.expire(place.store, now_ms + 2550000))
    assert.equal(5, #shelf.failures(place.store))
    assert.is_not_nil(shelf.package(place.store, hash))
    assert.equal(6, shelf.expire(place.store, now_ms + 31 * 86400000))
    assert.is_nil(shelf.package(place.store, hash))
  end)
end)
