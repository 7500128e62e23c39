# {% include "tasks/" ~ cookiecutter.task ~ "/exports.py" %}
