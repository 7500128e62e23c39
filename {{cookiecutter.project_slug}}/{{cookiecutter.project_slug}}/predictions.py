# {% include "tasks/" ~ cookiecutter.task ~ "/predictions.py" %}
