local failure = require "weir.failure"
local json = require "weir.native.json"

local function object(meta) return setmetatable({}, meta) end

describe("failure", function()
  it("makes errors of a code and a message, which tostring shows", function()
    local err = failure.new("limit", "too much")
    assert.same({ "limit", "too much", "too much" }, { err.code, err.message, tostring(err) })
    assert.equal("3 of 4 are %", failure.new("failed", "%d of %d are %%", 3, 4).message)
    assert.equal("100% of %s", failure.new("failed", "100% of %s").message) -- without arguments it is no format
  end)

  it("keeps a message whole that holds a zero byte", function()
    assert.equal("a\0b is unknown", failure.new("not_found", "%s is unknown", "a\0b").message)
    assert.equal("a\0b", tostring(failure.new("failed", "a\0b")))
  end)

  it("raises them without a position", function()
    local ok, err = pcall(failure.raise, "denied", "not yours, %s", "Bo")
    assert.same({ false, "denied", "not yours, Bo" }, { ok, err.code, err.message })
  end)

  it("knows the codes that programs branch on", function()
    local count = 0
    for code in pairs(failure.codes) do
      count = count + 1
      assert.equal(code, failure.of({ code = code, message = "m" }).code)
    end
    assert.equal(14, count)
  end)

  describe("of whatever was raised", function()
    it("keeps code, message, step, traceback and details of an error of ours", function()
      local given = { code = "conflict", message = "m", step = "g/s", traceback = "t", details = { 1 }, more = "not kept" }
      local err = failure.of(given)
      assert.same({ code = "conflict", message = "m", step = "g/s", traceback = "t", details = { 1 } }, { code = err.code, message = err.message,
        step = err.step, traceback = err.traceback, details = err.details, more = err.more })
      assert.equal("m", tostring(err))
    end)

    it("cuts a long message between two characters", function()
      for before = 0, 3 do
        local message = failure.of(("a"):rep(before) .. ("é水😀"):rep(1000)).message
        assert.is_true(#message <= 4096)
        assert.is_truthy(utf8.len(message))
      end
    end)

    it("gives the code failed to what has none of ours", function()
      for _, given in ipairs { "text", 7, true, {}, { code = "weird" }, { code = 1 }, io.stdout, print, coroutine.create(print) } do
        local err = failure.of(given)
        assert.equal("failed", err.code)
        assert.equal("string", type(err.message))
        assert.is_true(#err.message > 0)
      end
      assert.equal("failed", failure.of(nil).code)
      assert.matches("without a value", failure.of(nil).message)
    end)

    it("says what has no words of its own by its type, never by an address, which is another one each time", function()
      for _, given in ipairs { print, function() end, coroutine.create(print), json.null } do
        assert.matches("^an error that is a " .. type(given), failure.of(given).message)
      end
      assert.equal("an error that is a table {}", failure.of(object { __name = "thing" }).message)
      assert.equal("table: 0x10", failure.of("table: 0x10").message)
      assert.equal("words", failure.of(object { __tostring = function() return "words" end }).message)
    end)

    it("never raises on what it is given", function()
      local hostile = {
        object { __tostring = function() error "no" end }, object { __tostring = function() return {} end }, object { __tostring = function() end },
        object { __index = function() error "no" end }, object { __index = function() error "no" end, __tostring = function(self) return self.x end },
        object { __name = ("x"):rep(10000) }, object { __metatable = false, __tostring = error }, object { __len = error, __pairs = error },
        { message = object { __tostring = error } }, { message = 7 }, { code = object { __eq = error }, message = "m" }, { code = 0 / 0 },
        { message = "bad \xff utf-8" }, { code = nil, message = "" },
      }
      for _, given in ipairs(hostile) do
        for _, take in ipairs { failure.of, failure.explain } do
          local ok, err = pcall(take, given)
          assert.is_true(ok, tostring(err))
          assert.is_true(failure.codes[err.code])
          assert.equal("string", type(err.message))
        end
      end
    end)

    it("says what is in a table that says nothing of itself, and of what has no text what it is", function()
      assert.equal("an error that is a table {kind = 'http', status = 503, tries = a table}",
        failure.of({ status = 503, kind = "http", tries = {} }).message)
      assert.equal("an error that is a table {code = 'limit'}", failure.of({ code = "limit" }).message)
      assert.equal("an error that is a table {1 = 'a', message = a table}", failure.of({ "a", message = {} }).message)
      local many = {}
      for n = 1, 100 do many[n] = ("x"):rep(1000) end
      assert.is_true(#failure.of(many).message < 1000)
      assert.equal("an error that is a function", failure.of(print).message)
      assert.equal("an error that is a thread", failure.of(coroutine.create(print)).message)
      assert.equal("mine", failure.of(object { __tostring = function() return "mine" end }).message)
    end)

    it("takes no field of ours from others that is none", function()
      local err = failure.of { code = "failed", message = "m", step = { {} }, traceback = 7, details = print, class = print, healing = 3,
        mismatch = {} }
      assert.same({ code = "failed", message = "m" }, { code = err.code, message = err.message, step = err.step, traceback = err.traceback,
        details = err.details, class = err.class, healing = err.healing, mismatch = err.mismatch })
    end)

    it("keeps 4 KiB of a message, says how long it was, and does not cut it twice", function()
      for _, given in ipairs { ("x"):rep(1 << 20), { code = "failed", message = ("x"):rep(1 << 20) },
        object { __tostring = function() return ("x"):rep(1 << 20) end } } do
        local err = failure.of(given)
        assert.is_true(#err.message <= 4096)
        assert.matches("x%.%.%. %(1048576 bytes in all%)$", err.message)
        assert.equal(err.message, failure.of(err).message)
      end
    end)
  end)

  it("explains where an error was raised, for a message handler", function()
    local _, err = xpcall(function() error "boom" end, failure.explain)
    assert.equal("failed", err.code)
    assert.matches("boom", err.message)
    assert.matches("failure_spec", err.traceback)
    _, err = xpcall(function() failure.raise("limit", "enough") end, failure.explain)
    assert.same({ "limit", nil }, { err.code, err.traceback })
    local _, kept = xpcall(function() error { code = "failed", message = "m", traceback = "there" } end, failure.explain)
    assert.equal("there", kept.traceback)
  end)
end)
