local stopwords = require "weir.text.stopwords"
local tokens = require "weir.text.tokens"

local SAMPLES = {
  en = "The water of the river was high and it ran over the weir into the old mill.",
  de = "Das Wasser des Flusses war hoch und lief über das Wehr in die alte Mühle.",
  fr = "L'eau de la rivière était haute et elle passait par le barrage dans le vieux moulin.",
  es = "El agua del río estaba alta y pasaba por la presa hasta el viejo molino de los monjes.",
  it = "L'acqua del fiume era alta e passava sulla diga fino al vecchio mulino della valle.",
  pt = "A água do rio estava alta e passava pela represa até o velho moinho da aldeia.",
  nl = "Het water van de rivier was hoog en het liep over de stuw in de oude molen.",
  sv = "Vattnet i ån var högt och det rann över dammen till den gamla kvarnen som var stängd.",
  pl = "Woda w rzece była wysoka i płynęła przez jaz do starego młyna, który był już zamknięty.",
  ru = "Вода в реке была высокой, и она шла через плотину к старой мельнице, которая не работала.",
  tr = "Nehirdeki su çok yüksekti ve eski değirmen için bir set daha yapıldı ama bu da yetmedi.",
  ar = "كان الماء في النهر عاليا وقد مر من فوق السد إلى الطاحونة التي على الضفة",
  hi = "नदी का पानी ऊँचा था और वह बाँध के ऊपर से पुरानी चक्की में जा रहा था",
}

describe("text.stopwords", function()
  for _, language in ipairs(stopwords.languages()) do
    if SAMPLES[language] then
      it("guesses that a sentence is in '" .. language .. "'", function()
        assert.equal(language, stopwords.guess(tokens.words(SAMPLES[language])))
      end)
    end
  end

  it("guesses nothing for a language without a list", function()
    assert.is_nil(stopwords.guess(tokens.words("Joen vesi oli korkealla joten mylly pysähtyi jälleen kerran")))
    assert.is_nil(stopwords.guess({}))
  end)

  it("lists words as the tokenizer gives them", function()
    for _, language in ipairs(stopwords.languages()) do
      for word in pairs(stopwords.list(language)) do
        assert.same({ word }, tokens.words(word), language)
      end
    end
  end)

  it("finds short frequent words where there is no list", function()
    local sentences = {}
    for index = 1, 20 do sentences[index] = { "ja", "vesi" .. index, "mylly", index % 3 == 0 and "on" or "oli" } end
    local found = stopwords.frequent(sentences)
    assert.is_true(found["ja"] and found["on"] and found["oli"])
    assert.is_nil(found["mylly"])
    assert.is_nil(found["vesi1"])
    assert.same({}, stopwords.frequent({ { "ja" }, { "ja" } }))
  end)
end)
