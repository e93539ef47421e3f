#include "data/synth_phrases.h"

phrase_range phrases_for(const phrases list, synth_split split) {
    int count = 0;
    while (count < PHRASES && list[count]) count++;
    if (count < 3) return (phrase_range){0, count};
    int held = count < 12 ? 1 : 2, trained = count - 2 * held;
    if (split == SYNTH_TRAIN) return (phrase_range){0, trained};
    return (phrase_range){split == SYNTH_VALIDATE ? trained : count - held, held};
}

static const finding_phrases device_phrases = {
    .absent = {"There are no lines or tubes.", "No support device is present.",
               "No indwelling lines or tubes are seen.", "No catheter or tube is identified.",
               "There is no catheter or support device.", "No lines or tubes.",
               "There is no indwelling catheter.", "No support devices are seen.",
               "No support device is identified.", "There is no support device.",
               "No catheter is seen.", "There are no indwelling lines.",
               "There are no support devices.", "No lines or tubes are identified.",
               "No catheter or support device is seen.",
               "There are no indwelling tubes or lines."}};
static const finding_phrases no_phrases = {.one = {0}};

const finding_phrases *const finding_text[CLASS_COUNT] = {
    [FIND_NONE] = &no_phrases,
    [FIND_MEDIASTINUM] = &mediastinum_phrases,
    [FIND_HEART] = &heart_phrases,
    [FIND_OPACITY] = &opacity_phrases,
    [FIND_LESION] = &lesion_phrases,
    [FIND_EDEMA] = &edema_phrases,
    [FIND_CONSOLIDATION] = &consolidation_phrases,
    [FIND_PNEUMONIA] = &pneumonia_phrases,
    [FIND_ATELECTASIS] = &atelectasis_phrases,
    [FIND_PNEUMOTHORAX] = &pneumothorax_phrases,
    [FIND_EFFUSION] = &effusion_phrases,
    [FIND_PLEURA] = &pleura_phrases,
    [FIND_FRACTURE] = &fracture_phrases,
    [FIND_DEVICES] = &device_phrases,
};

const pair_phrases pair_text[PHRASE_PAIRS] = {
    {FIND_EFFUSION,
     FIND_PNEUMOTHORAX,
     {"There is no pleural effusion or pneumothorax.",
      "No pleural effusion or pneumothorax is seen.", "No evidence of effusion or pneumothorax.",
      "Neither pleural effusion nor pneumothorax is present.",
      "The pleural spaces are free of effusion and pneumothorax.",
      "There is no effusion or pneumothorax.", "No effusion or pneumothorax is identified.",
      "There is no evidence of pleural effusion or pneumothorax.",
      "Neither effusion nor pneumothorax is identified.",
      "No evidence of pleural effusion or pneumothorax.",
      "There is no evidence of pneumothorax or effusion.", "No pneumothorax or effusion.",
      "Neither pneumothorax nor pleural effusion is seen.",
      "There is no sign of effusion or pneumothorax.", "No pneumothorax or effusion is seen.",
      "There is no pneumothorax or pleural effusion.", "Neither effusion nor pneumothorax is seen.",
      "No pneumothorax or pleural effusion is identified."}},
    {FIND_MEDIASTINUM,
     FIND_HEART,
     {"The cardiomediastinal silhouette is normal.",
      "Cardiac and mediastinal contours are within normal limits.",
      "Heart and mediastinum are normal in size.",
      "The heart is normal in size and the mediastinum is not widened.",
      "Normal heart size and mediastinal contours.", "The heart and mediastinum are unremarkable.",
      "The cardiomediastinal silhouette is unremarkable.",
      "Heart size and mediastinal contours are within normal limits.",
      "The heart and mediastinum are normal.", "The heart and mediastinum are not enlarged.",
      "The heart is unremarkable and the mediastinum is not widened.",
      "Normal cardiac size and mediastinal contours.",
      "The cardiac and mediastinal silhouettes are normal.",
      "The heart is normal in size and the mediastinum is unremarkable.",
      "The cardiac and mediastinal contours are normal.",
      "The heart is not enlarged and the mediastinum is unremarkable.",
      "Heart size and mediastinal contours are normal.",
      "The cardiomediastinal silhouette is within normal limits."}},
    {FIND_EDEMA,
     FIND_CONSOLIDATION,
     {"There is no edema or consolidation.", "No focal consolidation or pulmonary edema.",
      "Neither consolidation nor edema is seen.",
      "No consolidation or vascular congestion with edema.",
      "There is no focal consolidation or edema.",
      "No evidence of consolidation or pulmonary edema.", "No consolidation or edema is seen.",
      "There is no pulmonary edema or focal consolidation.", "No edema or consolidation.",
      "There is no evidence of consolidation or edema.",
      "Neither edema nor focal consolidation is seen.",
      "No pulmonary edema or consolidation is identified.", "No sign of edema or consolidation.",
      "There is no consolidation or edema in either lung.",
      "No evidence of edema or consolidation.",
      "Neither focal consolidation nor pulmonary edema is present.",
      "No edema or focal consolidation is seen.", "There is no consolidation or pulmonary edema."}},
    {FIND_OPACITY,
     FIND_CONSOLIDATION,
     {"The lungs are clear without consolidation.", "No focal opacity or consolidation is seen.",
      "Lungs are clear, with no consolidation.",
      "There is no opacity or consolidation in either lung.", "No consolidation or focal opacity.",
      "Both lungs are clear, without consolidation.", "No opacity or consolidation is identified.",
      "The lungs are clear, and no consolidation is seen.",
      "No airspace opacity or consolidation is seen.", "Neither opacity nor consolidation is seen.",
      "The lungs are clear, with no evidence of consolidation.",
      "No evidence of consolidation or opacity.",
      "There is no airspace opacity or focal consolidation.",
      "The lungs are clear and there is no consolidation.",
      "There is no consolidation or airspace opacity.",
      "No evidence of focal opacity or consolidation.",
      "There is no focal opacity or consolidation.",
      "The lungs are clear, with no focal consolidation."}},
    {FIND_CONSOLIDATION,
     FIND_EFFUSION,
     {"No consolidation or effusion.", "There is no focal consolidation or pleural effusion.",
      "No evidence of consolidation or pleural effusion.",
      "Neither consolidation nor effusion is present.",
      "No focal consolidation or effusion is seen.",
      "There is no consolidation or pleural effusion.",
      "There is no evidence of consolidation or effusion.",
      "Neither focal consolidation nor pleural effusion is seen.",
      "No evidence of effusion or consolidation.",
      "Neither effusion nor consolidation is identified.", "No pleural effusion or consolidation.",
      "There is no consolidation or effusion.",
      "There is no evidence of pleural effusion or consolidation.",
      "No pleural effusion or focal consolidation is seen.",
      "No effusion or consolidation is seen.", "There is no effusion or focal consolidation.",
      "No consolidation or pleural effusion is identified.",
      "There is no evidence of focal consolidation or effusion."}},
};

const phrases implied_opacity = {
    "This is seen as parenchymal opacity.",    "Corresponding airspace opacity is seen.",
    "There is associated lung opacity.",       "Associated parenchymal opacities are present.",
    "There is corresponding lung opacity.",    "Parenchymal opacity is seen.",
    "Associated airspace opacity is present.", "There is corresponding parenchymal opacity."};

const phrases bare_text = {
    "Frontal view of the chest was obtained.", "A single frontal view of the chest was obtained.",
    "Frontal radiograph of the chest.", "A frontal radiograph of the chest was obtained."};

const phrases device_text[DEVICE_KINDS] = {
    {"An endotracheal tube ends above the carina.",
     "The endotracheal tube tip is in the mid trachea.",
     "Endotracheal tube is in standard position.",
     "The tip of an endotracheal tube projects over the trachea.",
     "An endotracheal tube is in the mid trachea.",
     "The endotracheal tube ends above the carina in standard position."},
    {"A {s} central venous catheter ends in the superior vena cava.",
     "The tip of a {s} central line projects over the SVC.",
     "{s} sided central venous line terminates near the cavoatrial junction.",
     "There is a {s} central catheter in standard position.",
     "A {s} central venous line ends near the cavoatrial junction.",
     "The tip of a {s} central venous catheter projects over the superior vena cava."},
    {"A {s} chest wall pacemaker with two leads is in place.",
     "{s} pectoral dual lead pacemaker is noted.",
     "Pacemaker leads from a {s} generator end in the right atrium and right ventricle.",
     "There is a {s} sided pacemaker with intact leads.",
     "A {s} sided dual lead pacemaker is in place.",
     "There is a {s} chest wall pacemaker with leads in the right atrium and right ventricle."},
    {"Median sternotomy wires are intact.", "Sternal wires are aligned.",
     "The patient is status post sternotomy with intact wires.",
     "Sternotomy wires are noted in the midline.", "Sternotomy wires are intact and aligned.",
     "Median sternotomy wires are noted."},
    {"An enteric tube courses below the diaphragm.", "The nasogastric tube ends in the stomach.",
     "A feeding tube passes into the stomach.",
     "Nasogastric tube is seen with its tip below the diaphragm.",
     "A nasogastric tube courses into the stomach.",
     "An enteric tube ends below the diaphragm in the stomach."},
    {"A {s} chest tube is in place.", "There is a {s} pleural drain.",
     "{s} sided chest tube is directed towards the apex.",
     "A thoracostomy tube is present on the {s}.", "A {s} pleural drain is in place.",
     "There is a {s} sided chest tube."},
};

const phrases device_conclusion = {"support devices in standard position",
                                   "lines and tubes as described",
                                   "devices in place as above",
                                   "support devices are in place",
                                   "lines and tubes in standard position",
                                   "support devices as described"};

const phrases normal_conclusion = {"No acute cardiopulmonary process.",
                                   "No acute cardiopulmonary abnormality.",
                                   "Normal chest radiograph.",
                                   "No acute intrathoracic findings.",
                                   "No evidence of acute disease in the chest.",
                                   "Unremarkable chest film.",
                                   "No acute disease.",
                                   "Normal frontal view of the chest.",
                                   "No acute abnormality in the chest.",
                                   "Normal chest film.",
                                   "No evidence of an acute cardiopulmonary process.",
                                   "Unremarkable chest radiograph."};
const phrases calm_conclusion = {
    "No acute cardiopulmonary process.",  "No acute cardiopulmonary abnormality.",
    "No acute intrathoracic findings.",   "No evidence of acute disease in the chest.",
    "No acute abnormality in the chest.", "No evidence of an acute cardiopulmonary process."};

const phrases indications_acute = {
    "shortness of breath", "fever and cough",      "chest pain",        "hypoxia",
    "fall from height",    "respiratory distress", "worsening dyspnea", "trauma"};
const phrases indications_other = {"preoperative film",     "routine follow-up",
                                   "weight loss",           "line placement",
                                   "chronic cough",         "history of malignancy",
                                   "postoperative day two", "follow-up of known findings"};
