"""What espeak-ng says for benchmarks/score.py: texts of about five seconds, in no other list."""

SPOKEN = {
    "en-us": (
        "We waited at the harbour until the last ferry brought my uncle and his bicycle home.",
        "Every morning the baker opens his shop, and half the village comes to buy warm rolls.",
        "If the weather stays fine, we may climb the hill and have a picnic at the top.",
        "The museum, which was closed for years, shows paintings of ships and beaches.",
        "Please send me the number of that plumber, because the pipe above my bath is leaking.",
        "Nobody believed him at first. Later, though, it became clear that he had been right.",
        "A small robot swept the floor, bumped into a chair, and stopped beneath the piano.",
    ),
    "de": (
        "Am Bahnhof warten viele Menschen, weil der Zug aus München eine Stunde zu spät kommt.",
        "Meine Tante malt am liebsten Bilder von Bergen, Bächen und alten Mühlen im Abendlicht.",
        "Wenn du morgen Zeit hast, bauen wir zusammen das Regal auf und probieren den neuen Ofen.",
        "Die Musik war laut, aber niemand beschwerte sich. Bis nach Mitternacht wurde getanzt.",
        "Der Arzt empfahl ihm Bewegung, frische Luft und eine Pause von mindestens zwei Wochen.",
        "Plötzlich begann es zu regnen, und wir liefen mit nassen Schuhen zum nächsten Haus.",
        "Im Museum hängt eine Lampe, die vor hundert Jahren ein Schmied aus Bremen gebaut hat.",
    ),
    "es": (
        "El camarero trajo la cuenta, pero mi hermana ya había pagado la comida con su tarjeta.",
        "Por la mañana temprano los pescadores preparan sus barcas y esperan el viento del mar.",
        "Me parece imposible terminar el trabajo hoy. Mañana empezamos con más tiempo y calma.",
        "La profesora abrió la ventana, miró las nubes y pensó en el viaje de su abuela.",
        "Unos amigos compraron una casa vieja, pintaron las paredes y plantaron un limonero.",
        "Cuando era pequeño, vivía en un pueblo donde todos se conocían por su nombre.",
    ),
}
VARIANTS = ("", "+f3")  # each text by a low and by a high voice
