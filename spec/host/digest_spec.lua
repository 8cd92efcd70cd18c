local digest = require "weir.native.digest"
local hash = require "weir.native.hash"

-- FIPS 180-4 examples; RFC 4231 test cases 1, 2, 3 and 6.
local SHA256 = {
  [""] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  [("a"):rep(1000000)] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
}
local HMAC = {
  { ("\x0b"):rep(20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
  { "Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
  { ("\xaa"):rep(20), ("\xdd"):rep(50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
  { ("\xaa"):rep(131), "Test Using Larger Than Block-Size Key - Hash Key First",
    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
}

describe("digest", function()
  it("knows SHA-256, in both libraries", function()
    for bytes, hex in pairs(SHA256) do
      for _, library in ipairs { digest, hash } do
        assert.equal(hex, library.sha256(bytes))
        assert.equal(hex, digest.to_hex(library.sha256(bytes, "raw")))
      end
    end
    assert.has_error(function() hash.sha256("", "octal") end)
  end)

  it("knows HMAC-SHA-256", function()
    for _, case in ipairs(HMAC) do
      assert.equal(case[3], digest.hmac_sha256(case[1], case[2]))
      assert.equal(case[3], digest.to_hex(digest.hmac_sha256(case[1], case[2], "raw")))
    end
  end)

  it("compares all of two strings", function()
    assert.is_true(digest.equal("", ""))
    assert.is_true(digest.equal("a\0b", "a\0b"))
    for _, other in ipairs { "", "a\0", "a\0c", "b\0b", "a\0bb" } do assert.is_false(digest.equal("a\0b", other)) end
  end)

  it("draws random bytes", function()
    for _, library in ipairs { digest, hash } do
      assert.equal(1000, #library.random(1000))
      assert.is_false(library.random(16) == library.random(16))
      assert.has_error(function() library.random(0) end)
      assert.has_error(function() library.random(1048577) end)
    end
  end)

  it("writes and reads hexadecimal digits", function()
    assert.equal("00ff10", digest.to_hex "\0\255\16")
    assert.equal("\0\255\16", digest.from_hex "00fF10")
    for text, at in pairs { ["0g"] = 1, ["00x0"] = 3 } do
      local bytes, message, code = digest.from_hex(text)
      assert.is_nil(bytes)
      assert.equal("invalid", code)
      assert.matches("at byte " .. at, message)
    end
    assert.equal("invalid", select(3, digest.from_hex "000"))
  end)

  it("writes and reads base64 as in RFC 4648, section 10", function()
    local cases = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=", foobar = "Zm9vYmFy" }
    for bytes, text in pairs(cases) do
      assert.equal(text, digest.to_base64(bytes))
      assert.equal(bytes, digest.from_base64(text))
      local bare = text:gsub("=", "")
      assert.equal(bare, digest.to_base64(bytes, "url"))
      assert.equal(bytes, digest.from_base64(bare, "url"))
    end
    assert.equal("+/+/", digest.to_base64 "\xfb\xff\xbf")
    assert.equal("-_-_", digest.to_base64("\xfb\xff\xbf", "url"))
    for size = 0, 100 do
      local bytes = digest.random(size + 1):sub(2)
      assert.equal(bytes, digest.from_base64(digest.to_base64(bytes)))
    end
  end)

  it("refuses base64 that is not exact", function()
    for _, text in ipairs { "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "=", "A", "Zm 9", "Zm9v\n", "Zm9v!A==", "Zg==Zg==", "-_-_" } do
      local bytes, _, code = digest.from_base64(text)
      assert(bytes == nil and code == "invalid", text)
    end
    assert.is_nil(digest.from_base64("+/+/", "url"))
  end)
end)

describe("digest.ed25519", function()
  local hex = digest.from_hex
  local private = hex "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
  local public = hex "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
  local signature = hex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")

  it("signs and verifies as the first test of RFC 8032 says", function()
    assert.equal(public, digest.ed25519_public(private))
    assert.equal(signature, digest.ed25519_sign(private, ""))
    assert.is_true(digest.ed25519_verify(public, "", signature))
  end)

  it("refuses another text, another key, a changed or cut signature", function()
    assert.is_false(digest.ed25519_verify(public, "x", signature))
    assert.is_false(digest.ed25519_verify(digest.ed25519_public(digest.random(32)), "", signature))
    for at = 1, 64, 7 do
      local changed = signature:sub(1, at - 1) .. string.char(signature:byte(at) ~ 1) .. signature:sub(at + 1)
      assert.is_false(digest.ed25519_verify(public, "", changed))
    end
    assert.is_false(digest.ed25519_verify(public, "", signature:sub(1, 63)))
    assert.is_false(digest.ed25519_verify(public, "", ""))
  end)

  it("takes keys of 32 bytes only", function()
    assert.has_error(function() digest.ed25519_verify("short", "", signature) end)
    assert.has_error(function() digest.ed25519_sign("short", "") end)
  end)
end)
