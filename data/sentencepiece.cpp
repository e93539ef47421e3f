// Calls into libsentencepiece: loading, encoding, training. Nothing is decided here; the library's
// exceptions and statuses become a line of text. Called by data/sentencepiece_model.c alone.
#include "data/sentencepiece.h"

#include <cstdio>
#include <exception>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

struct piece_library {
    sentencepiece::SentencePieceProcessor processor;
};

namespace {

int say(char *why, size_t room, const char *text) {
    std::snprintf(why, room, "%s", text);
    for (char *c = why; *c; c++)
        if (*c == '\n' || *c == '\r') *c = ' ';
    return 1;
}

// What ACT says of itself, and whatever it throws.
template <typename Act> int guarded(char *why, size_t room, Act act) {
    try {
        const auto result = act();
        return result.ok() ? 0 : say(why, room, result.ToString().c_str());
    } catch (const std::exception &e) {
        return say(why, room, e.what());
    } catch (...) {
        return say(why, room, "an unknown exception");
    }
}

// "name=value" words, separated by blanks. As a map, since the library prints a string of settings.
std::unordered_map<std::string, std::string> setting_map(const char *settings) {
    std::unordered_map<std::string, std::string> out;
    std::istringstream words(settings);
    for (std::string word; words >> word;) {
        const size_t equals = word.find('=');
        if (equals != std::string::npos) out[word.substr(0, equals)] = word.substr(equals + 1);
    }
    return out;
}

class texts final : public sentencepiece::SentenceIterator {
  public:
    texts(const char *bytes, const size_t *end, size_t count)
        : bytes_(bytes), end_(end), count_(count) {
        read();
    }
    bool done() const override { return at_ == count_; }
    void Next() override {
        at_++;
        read();
    }
    const std::string &value() const override { return value_; }
    sentencepiece::util::Status status() const override { return {}; }

  private:
    void read() {
        if (done()) return;
        const size_t begin = at_ ? end_[at_ - 1] : 0;
        value_.assign(bytes_ + begin, end_[at_] - begin);
    }
    const char *bytes_;
    const size_t *end_;
    size_t count_, at_ = 0;
    std::string value_;
};

} // namespace

int piece_library_load(piece_library **out, const void *model, size_t size, char *why,
                       size_t room) {
    piece_library *made = nullptr;
    *out = nullptr;
    const int failed = guarded(why, room, [&] {
        made = new piece_library;
        return made->processor.LoadFromSerializedProto({static_cast<const char *>(model), size});
    });
    if (failed)
        delete made;
    else
        *out = made;
    return failed;
}

void piece_library_free(piece_library *s) {
    delete s;
}

int piece_library_encode(const piece_library *s, const char *text, size_t length,
                         piece_library_take *take, void *context, char *why, size_t room) {
    return guarded(why, room, [&] {
        std::vector<int> ids;
        const auto result = s->processor.Encode({text, length}, &ids);
        if (result.ok()) take(context, ids.data(), ids.size());
        return result;
    });
}

int piece_library_train(const char *settings, const char *bytes, const size_t *end, size_t count,
                        piece_library_keep *keep, void *context, char *why, size_t room) {
    return guarded(why, room, [&] {
        texts source(bytes, end, count);
        std::string model;
        const auto result =
            sentencepiece::SentencePieceTrainer::Train(setting_map(settings), &source, &model);
        if (result.ok()) keep(context, model.data(), model.size());
        return result;
    });
}

const char *piece_library_built() {
    return SENTENCEPIECE_BUILT;
}
